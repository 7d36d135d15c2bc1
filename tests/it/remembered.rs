//! Scripts that are given what they have been given before, over loopback.

use super::talk::{Running, free_port};
use std::time::{Duration, Instant};

fn resource(path: &str, script: &str) -> String {
    format!(
        "<resource methods=\"GET\" uri-template=\"/{path}\"><prototype><![CDATA[mc.setProperty('CONTENT_TYPE', 'application/json'); {script}]]></prototype></resource>"
    )
}

fn api(pet: &str) -> String {
    let resources = [
        resource("pet/{id}", pet),
        resource("count", "mc.setPayloadJSON({n: mc.store.counter('n')});"),
        resource("time", "mc.setPayloadJSON({at: Date.now()});"),
        resource("chance", "mc.setPayloadJSON({is: uuid()});"),
    ];
    format!(
        "<api xmlns=\"http://ws.apache.org/ns/synapse\" name=\"Pets\" context=\"/p\">{}</api>",
        resources.concat()
    )
}

const PET: &str = "console.warn('asked for', mc.path); mc.setProperty('X-Tenant', mc.headers['x-tenant'], 'transport'); \
    mc.setPayloadJSON({id: mc.getProperty('uri.var.id'), colour: mc.query.colour});";

fn serve(more: &[(&str, &str)]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("api")).unwrap();
    std::fs::write(folder.path().join("api/p.xml"), api(PET)).unwrap();
    // On one core, which meets all of them.
    let environment = [&[("MYELIN_WORKERS", "1"), ("MYELIN_LOG", "warn")], more].concat();
    Running::with_env(folder, free_port(), &environment)
}

/// How many answers a resource has given, and how many of them from memory.
fn counts(running: &Running, resource: &str) -> (u64, u64) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_myelin"))
        .args(["script", "ls", "--json"])
        .env_clear()
        .env("XDG_RUNTIME_DIR", running.runtime.path())
        .env("MYELIN_ADMIN", format!("127.0.0.1:{}", running.admin_port()))
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = format!("api Pets GET /{resource}");
    let list = told["list"].as_array().unwrap();
    let script = list.iter().find(|script| script["name"] == *name);
    let script = script.unwrap_or_else(|| panic!("{told:#}"));
    let count = |name: &str| script[name].as_u64().unwrap();
    (count("calls"), count("remembered"))
}

#[test]
fn what_was_answered_before_is_answered_without_a_run() {
    for isolation in ["process", "thread"] {
        let running = serve(&[("MYELIN_SCRIPT_ISOLATION", isolation)]);
        let ask = |target: &str, tenant: &str| {
            let answer = running.ask(&format!("GET /p/{target}\nX-Tenant: {tenant}"));
            assert_eq!(answer.status, 200, "{}", answer.body);
            format!("{} {}", answer.header("x-tenant").unwrap_or("-"), answer.body)
        };
        for _ in 0..40 {
            assert_eq!(
                ask("pet/1?colour=red", "blue"),
                "blue {\"id\":\"1\",\"colour\":\"red\"}"
            );
        }
        assert_eq!(counts(&running, "pet/{id}"), (40, 39));
        // What differs is another request.
        for (target, tenant, expected) in [
            (
                "pet/2?colour=red",
                "blue",
                "blue {\"id\":\"2\",\"colour\":\"red\"}",
            ),
            (
                "pet/1?colour=tan",
                "blue",
                "blue {\"id\":\"1\",\"colour\":\"tan\"}",
            ),
            (
                "pet/1?colour=red",
                "green",
                "green {\"id\":\"1\",\"colour\":\"red\"}",
            ),
        ] {
            assert_eq!(ask(target, tenant), expected);
        }
        assert_eq!(counts(&running, "pet/{id}"), (43, 39));
        // Lines of the log come all the same.
        let lines = |told: &str| told.matches("asked for /p/pet/1").count();
        let told = running.told_after(0, "asked for /p/pet/2");
        assert!(lines(&told) >= 40, "{told}");
        // The clock, chance and the store are not remembered.
        for n in 1..=40 {
            assert_eq!(ask("count", "a"), format!("- {{\"n\":{n}}}"));
        }
        let different = |target: &str| {
            let mut answers: Vec<String> = (0..20).map(|_| ask(target, "a")).collect();
            answers.dedup();
            answers.len()
        };
        assert_eq!(different("chance"), 20);
        assert!(different("time") > 1);
        for (resource, calls) in [("count", 40), ("chance", 20), ("time", 20)] {
            assert_eq!(counts(&running, resource), (calls, 0));
        }
    }
}

#[test]
fn a_script_that_has_changed_answers_anew() {
    let running = serve(&[]);
    let ask = || running.ask("GET /p/pet/1").body;
    assert_eq!([ask(), ask()], ["{\"id\":\"1\"}", "{\"id\":\"1\"}"]);
    let changed = api("mc.setPayloadJSON({now: mc.getProperty('uri.var.id')});");
    std::fs::write(running.folder.path().join("api/p.xml"), changed).unwrap();
    let began = Instant::now();
    while ask() != "{\"now\":\"1\"}" {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", running.told());
    }
}

#[test]
fn nothing_is_remembered_where_the_settings_say_so() {
    let running = serve(&[("MYELIN_SCRIPT_REMEMBER", "false")]);
    for _ in 0..3 {
        assert_eq!(running.ask("GET /p/pet/1").body, "{\"id\":\"1\"}");
    }
    assert_eq!(counts(&running, "pet/{id}"), (3, 0));
}
