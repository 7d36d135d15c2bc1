//! What is answered from memory, and what is not: requests to one core, one after the other.

use crate::flow::runtime::{Clock, Timeouts};
use crate::flow::testing::{ScriptedBackend, exchange, wait};
use crate::flow::{Exchange, Outcome, Runtime, Worker};
use crate::mediators::trial::{ALL, Trial, written};
use crate::message::properties::Value;
use crate::script::js::{Pool, Settings};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

const GET: &str = "GET /pets/7?colour=red\nContent-Type: application/json\nX-A: one";
const POST: &str = "POST /pets\nContent-Type: application/json\n\n{\"name\": \"Rex\"}";

fn script(text: &str) -> String {
    format!("<script language=\"js\"><![CDATA[{text}]]></script>")
}

/// One whose clock runs.
fn worker(settings: Settings) -> Rc<Worker> {
    worker_at(Clock::System, settings)
}

fn worker_at(clock: Clock, settings: Settings) -> Rc<Worker> {
    let second = Duration::from_secs(1);
    let timeouts = Timeouts {
        connect: second,
        response: second,
    };
    let runtime = Arc::new(Runtime::new(clock, 7, timeouts));
    let (stores, meters) = (Arc::clone(&runtime.stores), Arc::clone(&runtime.meters));
    Rc::new(Worker {
        errands: Default::default(),
        client: ScriptedBackend::new([]),
        scripts: Pool::new(settings, stores, meters),
        runtime,
    })
}

/// A request for some steps, with what comes before it.
struct Asked<'a> {
    trial: &'a Trial<'a>,
    steps: &'a str,
    request: &'a str,
    before: &'a dyn Fn(&mut Exchange),
}

impl<'a> Asked<'a> {
    fn of(steps: &'a str, request: &'a str) -> Asked<'a> {
        Asked {
            trial: &ALL,
            steps,
            request,
            before: &|_| {},
        }
    }

    async fn run(&self, worker: &Rc<Worker>) -> (Outcome, Exchange) {
        let (sequence, catalog) = self.trial.plan(self.steps).expect("no mistakes");
        let mut exchange = exchange(self.request, catalog, ScriptedBackend::new([]));
        exchange.worker = Rc::clone(worker);
        (self.before)(&mut exchange);
        let outcome = sequence.run(&mut exchange).await;
        (outcome, exchange)
    }
}

/// The bodies, or faults.
fn answers(worker: &Rc<Worker>, all: &[Asked<'_>]) -> Vec<String> {
    let ended = wait(async {
        let mut ended = Vec::new();
        for asked in all {
            ended.push(asked.run(worker).await);
        }
        ended
    });
    let shown = |(outcome, mut exchange): (Outcome, Exchange)| match outcome {
        Ok(_) => written(&mut exchange),
        Err(fault) => format!("fault {fault}"),
    };
    ended.into_iter().map(shown).collect()
}

/// How many answers there were, and how many of them were remembered.
fn counts(worker: &Worker) -> (u64, u64) {
    let scripts = worker.runtime.meters.scripts();
    let calls = scripts.iter().map(|(_, meter)| meter.calls).sum();
    (calls, scripts.iter().map(|(_, meter)| meter.remembered).sum())
}

/// The answers to requests for one script, and how many of them were remembered.
fn asked(text: &str, requests: &[&str]) -> (Vec<String>, u64) {
    let (worker, steps) = (worker(Settings::default()), script(text));
    let all: Vec<Asked<'_>> = requests
        .iter()
        .map(|request| Asked::of(&steps, request))
        .collect();
    let answers = answers(&worker, &all);
    let (calls, remembered) = counts(&worker);
    assert_eq!(calls, requests.len() as u64, "{text}");
    (answers, remembered)
}

fn remembered(text: &str, requests: &[&str]) -> u64 {
    asked(text, requests).1
}

#[test]
fn the_same_request_is_answered_the_same_by_one_run() {
    for (text, expected) in [
        (
            "mc.setPayloadJSON({path: mc.path, colour: mc.query.colour, a: mc.headers['X-A']})",
            "{\"path\":\"/pets/7\",\"colour\":\"red\",\"a\":\"one\"}",
        ),
        (
            "mc.setPayloadJSON([new Date(0), Date.UTC(2026, 0), Date.parse('2026-01-02'), new Date(2026, 0).getDay()])",
            "[\"1970-01-01T00:00:00.000Z\",1767225600000,1767312000000,4]",
        ),
        ("async function f() { mc.setPayloadJSON([await 1]) }\nf()", "[1]"),
        // What it refers to is there as long as the run.
        (
            "var w = new WeakRef({a: 1}); Promise.resolve().then(function() { mc.setPayloadJSON(w.deref()) })",
            "{\"a\":1}",
        ),
    ] {
        let same = expected.to_owned();
        let expected = (vec![same.clone(), same.clone(), same], 2);
        assert_eq!(asked(text, &[GET, GET, GET]), expected, "{text}");
    }
}

#[test]
fn all_that_a_script_changes_is_changed_again() {
    let text = "mc.setProperty('a', {b: 1}); mc.setProperty('X-B', 'two', 'transport'); mc.setProperty('HTTP_SC', 201, 'axis2'); mc.setVariable('v', 1.5);\n\
        mc.setTo('http://else/'); mc.setResponse(true); mc.setPayloadXML(<a>{mc.path}</a>); mc.addHeader(true, <h xmlns=\"urn:h\"/>); false";
    let steps = script(text);
    let worker = worker(Settings::default());
    let seen = wait(async {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (outcome, exchange) = Asked::of(&steps, GET).run(&worker).await;
            let properties = &exchange.properties;
            let envelope = exchange.message.payload.built_envelope().expect("it is XML");
            let body = envelope.tree().to_text(envelope.root());
            assert!(body.contains("/pets/7</a>") && body.contains("urn:h"), "{body}");
            seen.push(format!(
                "{outcome:?} {:?} {:?} {:?} {:?} {:?} {} {body}",
                properties.get("a"),
                exchange.message.header("x-b"),
                properties.axis2_text("HTTP_SC"),
                properties.variables.get("v"),
                exchange.message.addressing.to,
                exchange.message.response,
            ));
        }
        seen
    });
    assert!(seen[0].starts_with("Ok(Drop) "), "{}", seen[0]);
    assert_eq!(seen[0], seen[1]);
    assert_eq!(counts(&worker), (2, 1));
}

#[test]
fn the_clock_chance_and_the_store_are_asked_each_time() {
    for text in [
        "mc.setPayloadJSON([new Date().getTime() > 0])",
        "mc.setPayloadJSON([new Date])",
        "mc.setPayloadJSON([Date()])",
        "mc.setPayloadJSON([Date.now()])",
        "mc.setPayloadJSON([Reflect.construct(Date, [])])",
        "mc.setPayloadJSON([Math.random()])",
        "mc.setPayloadJSON([uuid()])",
        "mc.setPayloadJSON([mc.store.get('a')])",
        "mc.store.set('a', 1)",
        "mc.store.delete('a')",
        "mc.setPayloadJSON([mc.store.list()])",
        "mc.setPayloadJSON([mc.store.counter('a')])",
        "mc.store.clear()",
        // Nor does it help to look away, or to ask late.
        "try { Date.now(); throw 1 } catch (e) {}\nmc.setPayloadJSON([1])",
        "Promise.resolve().then(function() { mc.setPayloadJSON([uuid()]) })",
        "var name = 'ran' + 'dom'; mc.setPayloadJSON([Math[name]()])",
    ] {
        assert_eq!(remembered(text, &[GET, GET, GET]), 0, "{text}");
    }
    let counts = asked("mc.setPayloadJSON([mc.store.counter('n')])", &[GET, GET, GET]);
    assert_eq!(counts.0, ["[1]", "[2]", "[3]"]);
    for text in [
        "mc.setPayloadJSON([Math.random()])",
        "mc.setPayloadJSON([uuid()])",
    ] {
        let (answers, _) = asked(text, &[GET, GET]);
        assert_ne!(answers[0], answers[1], "{text}");
    }
    // It is the run that counts, not the text.
    let text = "mc.setPayloadJSON([mc.query.chance ? Math.random() : 1])";
    let chance = "GET /pets/7?chance=1";
    assert_eq!(remembered(text, &[GET, chance, GET, chance]), 1);
}

#[test]
fn a_clock_that_stands_is_part_of_what_was_given() {
    let clock = Clock::Fixed(AtomicI64::new(1000));
    let worker = worker_at(clock, Settings::default());
    let steps = script("mc.setPayloadJSON([Date.now()])");
    let later = |exchange: &mut Exchange| {
        if let Clock::Fixed(now) = &exchange.worker.runtime.clock {
            now.store(2000, Ordering::Relaxed);
        }
    };
    let now = || Asked::of(&steps, GET);
    let all = [
        now(),
        now(),
        Asked {
            before: &later,
            ..now()
        },
        now(),
    ];
    assert_eq!(answers(&worker, &all), ["[1000]", "[1000]", "[2000]", "[2000]"]);
    assert_eq!(counts(&worker), (4, 2));
}

#[test]
fn what_a_script_reads_and_that_differs_is_not_answered_from_memory() {
    let post = "POST /pets\nContent-Type: application/json\n\n{\"name\": \"Tom\"}";
    for (text, one, other) in [
        ("mc.setPayloadJSON([mc.path])", GET, "GET /pets/8?colour=red"),
        ("mc.setPayloadJSON([mc.query])", GET, "GET /pets/7?colour=blue"),
        ("mc.setPayloadJSON([mc.method])", GET, "HEAD /pets/7?colour=red"),
        (
            "mc.setPayloadJSON([mc.headers['x-a']])",
            GET,
            "GET /pets/7?colour=red\nX-A: two",
        ),
        (
            "mc.setPayloadJSON([mc.getProperty('X-A', 'transport')])",
            GET,
            "GET /pets/7?colour=red",
        ),
        ("mc.setPayloadJSON([mc.getPayloadJSON().name])", POST, post),
        ("mc.setPayloadJSON([mc.getPayloadText()])", POST, post),
        ("mc.setPayloadJSON([mc.getPayloadXML() + ''])", POST, post),
        ("mc.setPayloadJSON([mc.getTo()])", GET, "GET /pets/8?colour=red"),
        // What the text does not name is asked for later.
        (
            "var name = 'X-' + 'A'; mc.setPayloadJSON([mc.getProperty(name, 'trans' + 'port')])",
            GET,
            "GET /pets/7?colour=red\nX-A: two",
        ),
    ] {
        let (answers, remembered) = asked(text, &[one, other, one, other]);
        assert_ne!(answers[0], answers[1], "{text}");
        assert_eq!(answers[..2], answers[2..], "{text}");
        assert_eq!(remembered, 2, "{text}");
    }
    // What it does not read does not matter.
    let text = "mc.setPayloadJSON([mc.path])";
    assert_eq!(
        remembered(
            text,
            &[
                GET,
                "GET /pets/7?colour=red\nContent-Type: application/json\nX-A: two"
            ]
        ),
        1
    );
}

#[test]
fn properties_variables_and_arguments_that_differ_are_other_requests() {
    fn numbered(n: i32) -> impl Fn(&mut Exchange) {
        move |exchange| {
            let properties = &mut exchange.properties;
            properties.set("n", Value::Integer(n));
            properties.set_axis2("n", Value::Integer(n));
            properties.operation.set("n", Value::Integer(n));
            properties.variables.set("n", Value::Integer(n));
        }
    }
    let trial = Trial {
        entries: &[(
            "add.js",
            "function add(mc, n) { mc.setPayloadJSON([n + 1]) } function more(mc, n) { mc.setPayloadJSON([n + 2]) }",
        )],
        ..ALL
    };
    let call = |function: &str| {
        format!(
            "<script language=\"js\" key=\"add.js\" function=\"{function}\"><inputs><argument type=\"INTEGER\" expression=\"get-property('n')\"/></inputs></script>"
        )
    };
    let (one, two) = (numbered(1), numbered(2));
    for (steps, expected) in [
        (script("mc.setPayloadJSON([mc.getProperty('n')])"), ["[1]", "[2]"]),
        (
            script("mc.setPayloadJSON([mc.getProperty('n', 'axis2')])"),
            ["[1]", "[2]"],
        ),
        (
            script("mc.setPayloadJSON([mc.getProperty('n', 'operation')])"),
            ["[1]", "[2]"],
        ),
        (script("mc.setPayloadJSON([mc.getVariable('n')])"), ["[1]", "[2]"]),
        (call("add"), ["[2]", "[3]"]),
        (call("more"), ["[3]", "[4]"]),
    ] {
        let ask = |before| Asked {
            trial: &trial,
            steps: &steps,
            request: GET,
            before,
        };
        let worker = worker(Settings::default());
        let all = [ask(&one), ask(&two), ask(&one), ask(&two)];
        assert_eq!(answers(&worker, &all), [expected, expected].concat(), "{steps}");
        assert_eq!(counts(&worker), (4, 2), "{steps}");
    }
}

#[test]
fn another_script_answers_anew_with_what_was_remembered_of_the_first() {
    let worker = worker(Settings::default());
    let (old, new) = (script("mc.setPayloadJSON(1)"), script("mc.setPayloadJSON(2)"));
    let all = [&old, &old, &new, &new, &old].map(|steps| Asked::of(steps, GET));
    assert_eq!(answers(&worker, &all), ["1", "1", "2", "2", "1"]);
    assert_eq!(counts(&worker), (5, 3));
}

/// The clock of the test jumps, so this takes no time.
#[test]
fn an_answer_that_is_remembered_is_as_late_as_the_first() {
    let worker = worker(Settings::default());
    let steps = script("sleepFor(20000); mc.setPayloadJSON(1)");
    wait(async {
        for _ in 0..2 {
            let began = tokio::time::Instant::now();
            let (outcome, _) = Asked::of(&steps, GET).run(&worker).await;
            outcome.expect("no fault");
            assert!(began.elapsed() >= Duration::from_secs(20));
        }
    });
    assert_eq!(counts(&worker), (2, 1));
}

#[test]
fn what_fails_runs_again() {
    for text in [
        "throw new Error('no')",
        "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)",
    ] {
        let (answers, remembered) = asked(text, &[GET, GET]);
        assert!(answers.iter().all(|answer| answer.starts_with("fault ")));
        assert_eq!(remembered, 0, "{text}");
    }
    // What it gives fails where it is put to use, each time.
    let text = "mc.setProperty('X-A', 'a\\r\\nb: c', 'transport')";
    let (answers, remembered) = asked(text, &[GET, GET]);
    let faults = answers.iter().filter(|answer| answer.contains("cannot carry"));
    assert_eq!((faults.count(), remembered), (2, 1));
}

#[test]
fn json_is_checked_within_the_limits_of_who_takes_it() {
    let worker = worker(Settings::default());
    let steps = script("mc.setPayloadJSON({name: 'Rex'})");
    let narrow = |exchange: &mut Exchange| {
        let catalog = Arc::get_mut(&mut exchange.catalog).expect("nobody else has it");
        catalog.limits.json.size = 5;
    };
    let wide = || Asked::of(&steps, GET);
    let narrow = || Asked {
        before: &narrow,
        ..wide()
    };
    let all = [narrow(), narrow(), wide(), wide(), narrow(), wide()];
    let answers = answers(&worker, &all);
    for (at, answer) in answers.iter().enumerate() {
        match at {
            0 | 1 | 4 => assert!(
                answer.contains("The script gave JSON that cannot be taken"),
                "{answer}"
            ),
            _ => assert_eq!(answer, "{\"name\":\"Rex\"}"),
        }
    }
    assert_eq!(counts(&worker), (6, 5));
}

#[test]
fn nothing_is_remembered_where_that_is_switched_off() {
    let worker = worker(Settings {
        remember: false,
        ..Settings::default()
    });
    let steps = script("mc.setPayloadJSON(1)");
    let all = [(); 2].map(|()| Asked::of(&steps, GET));
    assert_eq!(answers(&worker, &all), ["1", "1"]);
    assert_eq!(counts(&worker), (2, 0));
}
