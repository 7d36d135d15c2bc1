//! What a script costs: the way to a worker and back, 1 KB of JSON or XML in and out.

use divan::Bencher;
use myelin::script::js::{Entry, Form, Given, Isolation, Outcome, Pool, Program, Settings};
use myelin::text::{FileId, Placed, Span};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

fn main() {
    divan::main();
}

const SCRIPTS: &[&str] = &["nothing", "property", "echo", "literal", "navigate", "echo-xml"];
const WAYS: &[&str] = &["process", "thread"];

fn text(script: &str) -> &'static str {
    match script {
        "nothing" => "true",
        "property" => "mc.setProperty('HTTP_SC', mc.getProperty('a') + '')",
        "literal" => "var n = 'Rex'; mc.setPayloadXML(<pet><name>{n}</name></pet>)",
        "navigate" => "mc.setProperty('n', mc.getPayloadXML()..*::name.(text() == 'Rex 3').toString())",
        "echo-xml" => "var p = mc.getPayloadXML(); p.@id = 7; mc.setPayloadXML(p)",
        _ => "var p = mc.getPayloadJSON(); p.id = 7; mc.setPayloadJSON(p)",
    }
}

struct Ready {
    runtime: Runtime,
    local: LocalSet,
    pool: Rc<Pool>,
    program: Program,
    bodies: Vec<(Form, Option<String>)>,
}

fn ready(way: &str, script: &str, remember: bool) -> Ready {
    let text = text(script);
    let placed = Placed::verbatim(text, Span::new(FileId(0), 0..text.len()));
    let (program, told) = Program::compile(&[], &placed, Entry::Text);
    assert!(told.is_empty(), "{told:?}");
    let isolation = match way {
        "process" => Isolation::Process(PathBuf::from(env!("CARGO_BIN_EXE_myelin"))),
        _ => Isolation::Thread,
    };
    let settings = Settings {
        isolation,
        remember,
        ..Settings::default()
    };
    let json: Vec<String> = (0..16)
        .map(|n| format!("{{\"id\":{n},\"name\":\"Rex {n}\",\"tags\":[\"dog\",\"brown\"],\"age\":{n}.5}}"))
        .collect();
    let xml: Vec<String> = (0..16)
        .map(|n| format!("<pet id=\"{n}\"><name>Rex {n}</name><tag>dog</tag><age>{n}.5</age></pet>"))
        .collect();
    let body = |form: &Form| match form {
        Form::Json => format!("{{\"pets\":[{}]}}", json.join(",")),
        _ => format!("<pets>{}</pets>", xml.concat()),
    };
    let program = program.expect("a script");
    Ready {
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime"),
        local: LocalSet::new(),
        pool: Pool::new(settings, Arc::default(), Arc::default()),
        bodies: program
            .asks
            .bodies
            .iter()
            .map(|form| (*form, Some(body(form))))
            .collect(),
        program,
    }
}

impl Ready {
    fn run(&self) {
        let given = Given {
            bodies: self.bodies.clone(),
            default: myelin::script::js::Bag::everything(Vec::new()),
            ..Given::default()
        };
        let run = self.pool.run(
            || Arc::from("bench"),
            self.program.id,
            &self.program.source,
            given,
        );
        let answered = self.local.block_on(&self.runtime, run).expect("an answer");
        let outcome = &answered.kept.reply.outcome;
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    }
}

#[divan::bench(args = SCRIPTS, consts = [0, 1])]
fn run<const WAY: usize>(bencher: Bencher, script: &str) {
    let ready = ready(WAYS[WAY], script, false);
    ready.run();
    bencher.bench_local(|| ready.run());
}

/// What has been answered before.
#[divan::bench(args = ["nothing", "property", "literal"])]
fn remembered(bencher: Bencher, script: &str) {
    let ready = ready("thread", script, true);
    ready.run();
    bencher.bench_local(|| ready.run());
}

/// The first time that a worker meets a script: what it needs is made then.
#[divan::bench(args = ["nothing", "literal"], sample_count = 10)]
fn first(bencher: Bencher, script: &str) {
    bencher
        .with_inputs(|| ready("thread", script, false))
        .bench_local_values(|ready| ready.run());
}
