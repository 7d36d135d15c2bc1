//! Scripts that harm: whatever one does, its request is answered in time, the others do not notice, and the gateway lives on.

use super::pace::Pace;
use super::talk::{Running, ask, free_port};
use rustix::process::{Pid, Signal, kill_process};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Each is a family of its own: see the reliability notes, S-JS-1 to S-JS-6.
const JAVASCRIPT: &[(&str, &str)] = &[
    ("a loop", "while (true) {}"),
    (
        "a loop of calls",
        "function f() { for (;;) { g() } } function g() {} f()",
    ),
    (
        "spread without end",
        "[...{ [Symbol.iterator]() { return { next() { return { value: 1, done: false } } } } }]",
    ),
    ("fill", "new Array(4294967295).fill(1)"),
    ("a list from a length", "Array.from({ length: 4294967295 })"),
    ("join of much", "new Array(4294967295).join('x')"),
    (
        "promises for ever",
        "(function f() { Promise.resolve().then(f) })()",
    ),
    (
        "backtracking",
        "/^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!')",
    ),
    ("a power", "var b = 2n ** 10000000n; b * b * b"),
    ("repeat", "'x'.repeat(1e9).length"),
    ("pad", "'x'.padEnd(1e9, 'abc').length"),
    ("doubling", "var s = 'x'; while (true) { s += s }"),
    ("push", "var a = []; while (true) { a.push([1, 2, 3, 4]) }"),
    (
        "buffers",
        "var a = []; while (true) { a.push(new Uint8Array(1e7)) }",
    ),
    (
        "growth by replacing",
        "var s = 'aa'; while (true) { s = s.replaceAll('a', 'aaaa') }",
    ),
    (
        "nested data",
        "var a = []; for (var i = 0; i < 1e6; i++) { a = [a] } mc.setPayloadJSON(a)",
    ),
    (
        "flattening",
        "var a = []; for (var i = 0; i < 1e6; i++) { a = [a] } a.flat(Infinity)",
    ),
    (
        "text of a nest",
        "var a = []; for (var i = 0; i < 1e6; i++) { a = [a] } String(a)",
    ),
    (
        "a chain of proxies",
        "var p = {}; for (var i = 0; i < 1e6; i++) { p = new Proxy(p, {}) } p.x",
    ),
    (
        "a chain of prototypes",
        "var p = {}; for (var i = 0; i < 1e6; i++) { p = Object.create(p) } p.x",
    ),
    (
        "a chain of bind",
        "var f = function() {}; for (var i = 0; i < 1e6; i++) { f = f.bind(null) } f()",
    ),
    (
        "getters that call themselves",
        "var o = { get x() { return this.x } }; o.x",
    ),
    (
        "text that asks itself",
        "var o = { toString() { return '' + this } }; '' + o",
    ),
    ("sorting in sorting", "function f() { [2, 1].sort(f) } f()"),
    (
        "replacing in replacing",
        "function f() { return 'x'.replace(/x/, f) } f()",
    ),
    (
        "loops in loops",
        "var a = new Array(2000).fill(0); a.forEach(function() { a.forEach(function() { a.forEach(function() {}) }) })",
    ),
];

const RHAI: &[(&str, &str)] = &[
    ("a loop", "loop { }"),
    ("while", "let a = 0; while true { a += 1 }; a"),
    ("text", "let s = \"x\"; loop { s += s; }"),
    ("lists", "let a = []; loop { a.push([1, 2, 3]); }"),
    (
        "maps",
        "let a = #{}; let i = 0; loop { a[\"k\" + i] = i; i += 1; }",
    ),
    ("ranges", "let n = 0; for i in 0..9000000000 { n += i; } n"),
    ("recursion", "fn f(n) { f(n + 1) } f(0)"),
    ("two at once", "fn f(n) { f(n) + f(n) } f(0)"),
    ("nesting", "let a = []; for i in 0..1000000 { a = [a]; } a"),
    ("padding", "let s = \"\"; s.pad(1000000000, \"x\"); s"),
    ("overflow", "9223372036854775807 + 1"),
    ("division", "1 / 0"),
    ("an index", "let a = [1]; a[1000000]"),
    ("a throw", "throw \"no\""),
    ("lists of lists", "let a = [0]; loop { a += a; }"),
];

fn api(scripts: &[(&str, &str, &str)]) -> String {
    let mut text =
        String::from("<api xmlns=\"http://ws.apache.org/ns/synapse\" name=\"Bombs\" context=\"/b\">");
    for (path, language, script) in scripts {
        text.push_str(&format!(
            "<resource methods=\"GET\" uri-template=\"/{path}\">\n<inSequence><script language=\"{language}\"><![CDATA[{script}]]></script><property name=\"messageType\" value=\"application/json\" scope=\"axis2\"/><respond/></inSequence></resource>"
        ));
    }
    text.push_str("</api>");
    text
}

fn serve(scripts: &[(&str, &str, &str)], more: &[&str]) -> Running {
    let logs = ["--log", "warn"];
    Running::with(folder(scripts), free_port(), &[&logs, more].concat())
}

fn serve_with(scripts: &[(&str, &str, &str)], environment: &[(&str, &str)]) -> Running {
    Running::with_env(folder(scripts), free_port(), environment)
}

fn folder(scripts: &[(&str, &str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("api")).unwrap();
    std::fs::write(folder.path().join("api/b.xml"), api(scripts)).unwrap();
    // These are about runs.
    std::fs::write(folder.path().join("myelin.toml"), "[script]\nremember = false\n").unwrap();
    folder
}

/// What the gateway has logged of faults in the good script: it begins in the second line of the file.
fn faults_of_good(running: &Running) -> String {
    let told = running.told();
    let lines = told.lines().filter(|line| line.contains("api/b.xml:2:"));
    lines.map(|line| format!("\n{line}")).collect()
}

const GOOD: &str =
    "var n = 0; for (var i = 0; i < 10; i++) { n += i }\nmc.setPayloadJSON({n: n, left: typeof leak});";

fn get(port: u16, path: &str) -> (u16, String, Duration) {
    let began = Instant::now();
    let answer = ask(port, &format!("GET /b/{path}\n"));
    (answer.status, answer.body, began.elapsed())
}

/// Good requests that go on while something else happens: each has to be answered as it should.
struct Company {
    over: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    wrong: Arc<Mutex<Vec<String>>>,
    times: Arc<Mutex<Vec<Duration>>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Company {
    fn of(count: usize, port: u16) -> Company {
        let (over, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (wrong, times) = (
            Arc::<Mutex<Vec<String>>>::default(),
            Arc::<Mutex<Vec<Duration>>>::default(),
        );
        let threads = (0..count).map(|_| {
            let (over, answered) = (Arc::clone(&over), Arc::clone(&answered));
            let (wrong, times) = (Arc::clone(&wrong), Arc::clone(&times));
            std::thread::spawn(move || {
                // Once at least, however soon it is over.
                loop {
                    let (status, text, took) = get(port, "good");
                    if (status, text.as_str()) != (200, "{\"n\":45,\"left\":\"undefined\"}") {
                        wrong.lock().unwrap().push(format!("{status} {text}"));
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                    times.lock().unwrap().push(took);
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            })
        });
        let threads = threads.collect();
        Company {
            over,
            answered,
            wrong,
            times,
            threads,
        }
    }

    fn end(self, running: &Running) -> (usize, Duration) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let wrong = self.wrong.lock().unwrap();
        assert!(
            wrong.is_empty(),
            "{} of {} went wrong: {:?}{}",
            wrong.len(),
            self.answered.load(Ordering::Relaxed),
            &wrong[..wrong.len().min(3)],
            faults_of_good(running)
        );
        let mut times = self.times.lock().unwrap().clone();
        times.sort_unstable();
        (times.len(), times[times.len() * 99 / 100])
    }
}

#[test]
fn no_script_harms_the_gateway_or_another_request() {
    let names: Vec<String> = (0..JAVASCRIPT.len() + RHAI.len())
        .map(|number| format!("bomb{number}"))
        .collect();
    let mut scripts = vec![("good", "js", GOOD)];
    let all: Vec<(&str, &str, &str)> = JAVASCRIPT
        .iter()
        .map(|(what, text)| (*what, "js", *text))
        .chain(RHAI.iter().map(|(what, text)| (*what, "rhai", *text)))
        .collect();
    for (name, (_, language, text)) in names.iter().zip(&all) {
        scripts.push((name, language, text));
    }
    let running = serve(&scripts, &["--workers", "2"]);
    let pid = running.pid();
    assert_eq!(get(running.port, "good").0, 200);
    let (mut slow, mut table) = (Vec::new(), String::new());
    let (mut good, mut worst) = (0, Duration::ZERO);
    for (name, (what, language, _)) in names.iter().zip(&all) {
        let company = Company::of(50, running.port);
        let pace = Pace::start();
        let (status, text, clock) = get(running.port, name);
        let took = pace.elapsed();
        let (answered, p99) = company.end(&running);
        good += answered;
        worst = worst.max(p99);
        let answer: String = text.chars().take(120).collect();
        table.push_str(&format!(
            "{language:5} {what:30} {status} {:5} ms ({:5} by the clock), {answered:5} good, p99 {:3} ms: {answer}\n",
            took.as_millis(),
            clock.as_millis(),
            p99.as_millis()
        ));
        // 1 s to the kill.
        if took > Duration::from_millis(1500) {
            slow.push(format!("{what} took {took:?}"));
        }
        assert!(status == 500 || status == 200, "{what}: {status} {text}");
        assert_eq!(running.pid(), pid);
        assert!(
            std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "the gateway died of {what}"
        );
    }
    if std::env::var_os("SHOW").is_some() {
        std::fs::write(
            "/tmp/scripts-table.txt",
            format!("{table}{good} good requests, the worst p99 {worst:?}\n"),
        )
        .unwrap();
    }
    assert!(slow.is_empty(), "{slow:?}\n{table}");
    assert_eq!(get(running.port, "good").0, 200);
}

#[test]
fn what_one_request_leaves_is_gone_at_the_next() {
    let running = serve(
        &[
            ("good", "js", GOOD),
            (
                "leak",
                "js",
                "leak = 1; try { Object.prototype.leak = 1 } catch (e) {} try { globalThis.leak = 1 } catch (e) {} mc.setPayloadJSON({})",
            ),
            ("count", "js", "mc.setPayloadJSON({n: mc.store.counter('n')})"),
        ],
        &["--workers", "1"],
    );
    for _ in 0..5 {
        assert_eq!(get(running.port, "leak").0, 200);
        assert_eq!(get(running.port, "good").1, "{\"n\":45,\"left\":\"undefined\"}");
    }
    for count in 1..5 {
        assert_eq!(get(running.port, "count").1, format!("{{\"n\":{count}}}"));
    }
}

#[test]
fn a_changed_script_answers_anew_and_its_store_is_kept() {
    let running = serve(
        &[("count", "js", "mc.setPayloadJSON({old: mc.store.counter('n')})")],
        &[],
    );
    assert_eq!(get(running.port, "count").1, "{\"old\":1}");
    let changed = api(&[("count", "js", "mc.setPayloadJSON({now: mc.store.counter('n')})")]);
    std::fs::write(running.folder.path().join("api/b.xml"), changed).unwrap();
    let began = Instant::now();
    loop {
        let (_, text, _) = get(running.port, "count");
        if text.starts_with("{\"now\":") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{text}");
    }
}

#[test]
fn scripts_on_threads_answer_too() {
    let running = serve(
        &[
            ("good", "js", GOOD),
            ("loop", "js", "while (true) {}"),
            (
                "leak",
                "js",
                "leak = 1; mc.setPayloadJSON({n: mc.store.counter('n')})",
            ),
            ("fault", "js", "throw new Error('no good')"),
            (
                "depends",
                "js",
                "var n = 0; while (mc.getProperty('query.param.loop')) { n++ } mc.setPayloadJSON({n: n})",
            ),
        ],
        &["--script-isolation", "thread"],
    );
    assert_eq!(get(running.port, "good").1, "{\"n\":45,\"left\":\"undefined\"}");
    let (status, _, took) = get(running.port, "loop");
    assert_eq!(status, 500);
    assert!(took < Duration::from_secs(10), "{took:?}");
    // Once it is known to be quick it runs in the thread of its request, and sees nothing of the runs before.
    for count in 1..60 {
        assert_eq!(get(running.port, "good").1, "{\"n\":45,\"left\":\"undefined\"}");
        assert_eq!(get(running.port, "leak").1, format!("{{\"n\":{count}}}"));
        assert_eq!(get(running.port, "fault").0, 500);
    }
    // What it is given may make it slow all of a sudden: it ends, wherever it runs.
    for _ in 0..2 {
        for _ in 0..40 {
            assert_eq!(get(running.port, "depends").1, "{\"n\":0}");
        }
        assert_eq!(get(running.port, "depends?loop=1").0, 500);
    }
    assert_eq!(get(running.port, "good").0, 200);
}

/// The processes that a gateway has started.
fn workers(gateway: u32) -> Vec<Pid> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let numbers = processes.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<i32>().ok());
    let is_child = |number: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let parent = stat
            .rsplit_once(") ")
            .and_then(|(_, fields)| fields.split(' ').nth(1));
        parent == Some(&gateway.to_string())
    };
    numbers.filter(is_child).filter_map(Pid::from_raw).collect()
}

/// Stops every worker and asks for the good script, until that is not answered at once: another worker may have been started meanwhile.
fn ask_the_stopped(running: &Running, patience: Duration) -> Receiver<(u16, String, Duration)> {
    let began = Instant::now();
    loop {
        // One that is stopped while it starts would be waited for as long as a start may take, which is another matter.
        workers(running.pid())
            .iter()
            .filter(|worker| is_ready(**worker))
            .for_each(|worker| tell(*worker, Signal::STOP));
        let port = running.port;
        let (answer, answered) = channel();
        // Whoever is not answered any more is not waited for.
        std::thread::spawn(move || answer.send(get(port, "good")));
        match answered.recv_timeout(patience) {
            Err(_) => return answered,
            Ok((status, _, _)) => assert_eq!(status, 200, "{}", running.told()),
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{}", running.told());
    }
}

/// A worker is ready when it has limited itself and waits to be told something.
fn is_ready(worker: Pid) -> bool {
    let folder = format!("/proc/{}", worker.as_raw_nonzero());
    let limits = std::fs::read_to_string(format!("{folder}/limits")).unwrap_or_default();
    let writes_nothing = limits
        .lines()
        .any(|line| line.starts_with("Max file size") && line.split_whitespace().nth(3) == Some("0"));
    let threads = std::fs::read_dir(format!("{folder}/task")).into_iter().flatten();
    let waits = |thread: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.contains("(script) S ")
    };
    writes_nothing && threads.flatten().any(waits)
}

fn tell(worker: Pid, signal: Signal) {
    // It may have gone since.
    kill_process(worker, signal).unwrap_or_default();
}

#[test]
fn a_script_that_the_machine_does_not_let_run_is_waited_for() {
    let running = serve(&[("good", "js", GOOD)], &["--workers", "1"]);
    // The script has 1 s, and has nothing of it.
    let answered = ask_the_stopped(&running, Duration::from_millis(1300));
    workers(running.pid())
        .iter()
        .for_each(|worker| tell(*worker, Signal::CONT));
    let (status, text, _) = answered.recv().unwrap();
    assert_eq!(
        (status, text.as_str()),
        (200, "{\"n\":45,\"left\":\"undefined\"}"),
        "{}",
        running.told()
    );
}

#[test]
fn a_worker_that_never_goes_on_is_not_waited_for_without_end() {
    let deadline = ("MYELIN_SCRIPT_DEADLINE", "100ms");
    let running = serve_with(
        &[("good", "js", GOOD)],
        &[deadline, ("MYELIN_WORKERS", "1"), ("MYELIN_LOG", "warn")],
    );
    let (status, pace) = loop {
        let answered = ask_the_stopped(&running, Duration::from_millis(200));
        let pace = Pace::start();
        match answered.recv().unwrap().0 {
            // By one that was started meanwhile.
            200 => {}
            status => break (status, pace),
        }
    };
    // Ten times what it may take, of which 200 ms are over. Where the one that stands was just being started, it waits for a worker, for 5 s.
    let longest = Duration::from_millis(if status == 500 { 1_500 } else { 6_000 });
    assert!(
        matches!(status, 500 | 503) && pace.elapsed() < longest,
        "{status} {:?}",
        pace.elapsed()
    );
    // The others are found out one by one.
    let began = Instant::now();
    while get(running.port, "good").0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", running.told());
    }
}

#[test]
fn what_a_script_leaves_is_not_taken_from_the_memory_of_the_next() {
    let fill = |count: usize| {
        format!(
            "var a = []; for (var i = 0; i < {count}; i++) {{ a.push(new Uint8Array(1e7)) }} mc.setPayloadJSON({{n: a.length}})"
        )
    };
    let (much, less) = (fill(20), fill(15));
    // This is about memory; how long it takes is another matter.
    let running = serve_with(
        &[("much", "js", &much), ("less", "js", &less)],
        &[
            ("MYELIN_SCRIPT_DEADLINE", "20s"),
            ("MYELIN_WORKERS", "1"),
            ("MYELIN_LOG", "warn"),
        ],
    );
    for _ in 0..4 {
        for (path, expected) in [("much", "{\"n\":20}"), ("less", "{\"n\":15}")] {
            let (status, text, _) = get(running.port, path);
            assert_eq!((status, text.as_str()), (200, expected), "{}", running.told());
        }
    }
}
