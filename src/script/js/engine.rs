//! boa: one context that is frozen once and used again and again, scripts compiled once, and runs that leave nothing behind.

use super::super::e4x;
use super::members;
use super::processor;
use super::protocol::{
    Call, Change, Datum, Failure, Form, Frame, Given, Outcome, Reply, Source, StoreCall, Stored,
};
use boa_engine::builtins::promise::{OperationType, PromiseState};
use boa_engine::context::time::JsInstant;
use boa_engine::context::{Clock, HostHooks};
use boa_engine::error::JsNativeError;
use boa_engine::job::{Job, JobExecutor};
use boa_engine::object::JsObject;
use boa_engine::object::builtins::{JsFunction, JsPromise};
use boa_engine::realm::Realm;
use boa_engine::{Context, JsError, JsResult, JsString, JsValue, js_string};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What boa's frames of interpreted calls may come to. The stack of the thread is made for it.
const RECURSION: usize = 1_000;
const STACK_SLOTS: usize = 100 << 10;
/// The stack that `RECURSION` calls, or a text of the greatest depth, need.
pub const THREAD_STACK: usize = 256 << 20;
/// Lines that one run may log, and the characters of each.
const LOGGED: usize = 100;
const LOGGED_LENGTH: usize = 8 << 10;
/// Buffers of `ArrayBuffer` and typed arrays.
const BUFFER: u64 = 64 << 20;
/// What scripts are compiled with: it stands in stacks.
pub const PATH: &str = "script";

thread_local! {
    static RUN: RefCell<Option<Run>> = const { RefCell::new(None) };
}

/// A run that is under way in this thread.
pub struct Run {
    pub given: Given,
    pub changes: Vec<Change>,
    /// It asked for what was not sent.
    pub needs_all: bool,
    deadline: Instant,
    /// Microseconds of processor time of the thread when it began, where that was looked at, and how long it may take.
    begun: (Option<u64>, Duration),
    random: fastrand::Rng,
    /// The body that the script itself has set.
    pub written: Option<(Form, String)>,
    /// What `setJsonText` and `setJsonObject` have put aside.
    pub json_text: Option<Option<String>>,
    pub json_object: Option<JsValue>,
    store: StorePort,
    /// Everything that it has asked for was given to it.
    lasts: bool,
    /// Promises that failed and that nobody has looked after yet.
    rejected: Vec<JsObject>,
    logged: usize,
}

/// The way to the store.
pub type StorePort = Rc<dyn Fn(&StoreCall) -> Stored>;

pub struct Engine {
    context: Context,
    jobs: Rc<Jobs>,
    message_context: JsObject,
    scripts: HashMap<u64, Ready>,
    /// What has been told of and has not run yet.
    sources: HashMap<u64, Source>,
    /// Loops of a thread that cannot be killed end on their own.
    loops: Option<u64>,
    store: StorePort,
}

/// A script that has been compiled, and whether XML is handed to it.
#[derive(Clone)]
struct Ready {
    function: JsFunction,
    xml: bool,
}

impl Engine {
    /// `loops`: how often a loop may go round, where nobody can end it from outside.
    pub fn new(loops: Option<u64>, store: StorePort) -> Result<Engine, String> {
        let jobs = Rc::new(Jobs::default());
        let mut context = Context::builder()
            .host_hooks(Rc::new(Hooks))
            .clock(Rc::new(RunClock(Instant::now())))
            .job_executor(Rc::clone(&jobs))
            .build()
            .map_err(|error| error.to_string())?;
        let message_context = members::bind(&mut context).map_err(|error| error.to_string())?;
        let prelude = |text: &str, name: &str, context: &mut Context| {
            let source = boa_engine::Source::from_bytes(text).with_path(Path::new(name));
            context.eval(source).map_err(|error| format!("{name}: {error}"))
        };
        prelude(include_str!("freeze.js"), "freeze.js", &mut context)?;
        // What freezing needed is needed no more.
        boa_engine::gc::force_collect();
        let limits = context.runtime_limits_mut();
        limits.set_recursion_limit(RECURSION);
        limits.set_stack_size_limit(STACK_SLOTS);
        if let Some(loops) = loops {
            limits.set_loop_iteration_limit(loops);
        }
        Ok(Engine {
            context,
            jobs,
            message_context,
            scripts: HashMap::new(),
            sources: HashMap::new(),
            loops,
            store,
        })
    }

    /// A script that will be called.
    pub fn learn(&mut self, id: u64, source: Source) {
        self.sources.insert(id, source);
    }

    /// Frees what scripts have left.
    pub fn tidy(&mut self) {
        boa_engine::gc::force_collect();
    }

    /// `processor`: the microseconds of processor time that the thread has had.
    pub fn run(&mut self, call: Call, processor: Option<u64>) -> Reply {
        let begun = Instant::now();
        let script = match self.script(call.script) {
            Ok(script) => script,
            Err(failure) => return Reply::failed(failure, begun),
        };
        if script.xml
            && let Err(error) = e4x::runtime::names(&mut self.context)
        {
            return Reply::failed(self.failure(error), begun);
        }
        let time = Duration::from_millis(call.time);
        let arguments = call.given.arguments.clone();
        RUN.set(Some(Run {
            random: fastrand::Rng::with_seed(call.given.seed),
            given: call.given,
            changes: Vec::new(),
            needs_all: false,
            deadline: Instant::now() + time,
            begun: (processor, time),
            written: None,
            json_text: None,
            json_object: None,
            store: Rc::clone(&self.store),
            lasts: true,
            rejected: Vec::new(),
            logged: 0,
        }));
        let outcome = self.call(&script, &arguments);
        self.jobs.0.borrow_mut().clear();
        // Not before: what a `WeakRef` of a run has led to stays there to its end, whenever memory is freed.
        self.context.clear_kept_objects();
        let run = RUN.take().expect("it was set above");
        let outcome = match outcome {
            _ if run.needs_all => Outcome::NeedsAll,
            Ok(datum) => Outcome::Done(datum),
            Err(error) => Outcome::Failed(self.failure(error)),
        };
        Reply {
            lasts: run.lasts && matches!(outcome, Outcome::Done(_)),
            outcome,
            changes: run.changes,
            took: begun.elapsed().as_micros() as u64,
        }
    }

    fn call(&mut self, script: &Ready, arguments: &[Datum]) -> JsResult<Option<Datum>> {
        e4x::runtime::reset(&mut self.context)?;
        let mut values = vec![JsValue::from(self.message_context.clone())];
        for argument in arguments {
            values.push(members::to_js(argument, &mut self.context)?);
        }
        let this = JsValue::from(JsObject::with_object_proto(self.context.intrinsics()));
        let names = match script.xml {
            true => e4x::runtime::names(&mut self.context)?,
            false => Vec::new(),
        };
        let maker = script
            .function
            .call(&JsValue::undefined(), &names, &mut self.context)?;
        let inner = maker
            .as_callable()
            .ok_or_else(|| JsNativeError::typ().with_message("the script is no function"))?;
        let answer = inner.call(&this, &values, &mut self.context)?;
        self.context.run_jobs()?;
        let rejected = with_run(|run| run.rejected.pop())?;
        if let Some(promise) = rejected
            && let PromiseState::Rejected(reason) = JsPromise::from_object(promise)?.state()
        {
            return Err(JsError::from_opaque(reason));
        }
        members::from_js(&answer, &mut self.context)
    }

    fn script(&mut self, id: u64) -> Result<Ready, Failure> {
        if let Some(known) = self.scripts.get(&id) {
            return Ok(known.clone());
        }
        let source = self.sources.get(&id).cloned().ok_or_else(|| Failure {
            message: "the script is not known here".to_owned(),
            ..Failure::default()
        })?;
        let global = self.context.global_object();
        let mut names = String::new();
        for name in &source.assigned {
            let built_in = global.has_property(JsString::from(name.as_str()), &mut self.context);
            if !built_in.unwrap_or(true) {
                names.push_str(if names.is_empty() { "var " } else { "," });
                names.push_str(name);
            }
        }
        // What a script assigns without declaring it lives as long as the run.
        let given = if source.xml { e4x::runtime::NAMES } else { "" };
        let text = source.text.replacen("/*assigned*/", &names, 1);
        let text = format!("(function({given}){{{text}\n}})");
        let parsed = boa_engine::Source::from_bytes(&text).with_path(Path::new(PATH));
        let value = self.context.eval(parsed).map_err(|error| self.failure(error))?;
        let function = value.as_object().and_then(JsFunction::from_object);
        let function = function.ok_or_else(|| Failure {
            message: "the script is no function".to_owned(),
            ..Failure::default()
        })?;
        let ready = Ready {
            function,
            xml: source.xml,
        };
        self.sources.remove(&id);
        self.scripts.insert(id, ready.clone());
        Ok(ready)
    }

    fn failure(&mut self, error: JsError) -> Failure {
        let shown = error.to_string();
        let stack = shown.lines().filter_map(frame).collect();
        let first = shown.split("\n    at ").next().unwrap_or_default();
        // The engine's own place is of no use: it knows nothing of files.
        let first = first.rsplit_once(" (").filter(|(_, place)| {
            [PATH, e4x::runtime::PATH, "native"]
                .iter()
                .any(|start| place.starts_with(start))
        });
        let first = first.map_or_else(
            || shown.split("\n    at ").next().unwrap_or_default(),
            |(first, _)| first,
        );
        let first = first.to_owned();
        let limit = first.starts_with("RuntimeLimit") || error.as_engine().is_some();
        let message = match error.as_opaque() {
            Some(value) if value.is_object() => {
                let text = value.to_string(&mut self.context);
                text.map_or(first, |text| text.to_std_string_lossy())
            }
            Some(value) => value
                .to_string(&mut self.context)
                .map_or(first, |text| text.to_std_string_lossy()),
            None => first,
        };
        let message = match (limit, self.loops) {
            (true, Some(loops)) if message.contains("iteration") => {
                format!("a loop went round more than {loops} times")
            }
            (true, _) if message.contains("recursive") => {
                format!("functions call each other more than {RECURSION} deep")
            }
            _ => message,
        };
        Failure {
            message: cut(&message, LOGGED_LENGTH).to_owned(),
            stack,
            limit,
        }
    }
}

impl Reply {
    pub fn failed(failure: Failure, begun: Instant) -> Reply {
        Reply {
            outcome: Outcome::Failed(failure),
            changes: Vec::new(),
            lasts: false,
            took: begun.elapsed().as_micros() as u64,
        }
    }
}

/// Lends the run to a function of a script.
pub fn with_run<T>(use_it: impl FnOnce(&mut Run) -> T) -> JsResult<T> {
    RUN.with_borrow_mut(|run| match run {
        Some(run) => Ok(use_it(run)),
        None => Err(JsNativeError::typ().with_message("no message is there").into()),
    })
}

impl Run {
    /// Not called while the run is lent: an answer may take a while.
    pub fn store(&mut self) -> StorePort {
        self.lasts = false;
        Rc::clone(&self.store)
    }

    pub fn random(&mut self) -> &mut fastrand::Rng {
        self.lasts = false;
        &mut self.random
    }

    /// Late, and not only because others were let run.
    fn is_over(&self) -> bool {
        let (begun, time) = self.begun;
        let starved = |begun| {
            processor::is_starved(
                Duration::from_micros(processor::micros().saturating_sub(begun)),
                time,
            )
        };
        Instant::now() > self.deadline && !begun.is_some_and(starved)
    }

    pub fn log(&mut self, level: super::protocol::Level, text: &str, line: u32) {
        self.logged += 1;
        let text = match self.logged {
            logged if logged < LOGGED => cut(text, LOGGED_LENGTH).to_owned(),
            LOGGED => "further lines of this run are left out".to_owned(),
            _ => return,
        };
        self.changes.push(Change::Log { level, text, line });
    }
}

/// `    at name (script:3:14)`
fn frame(line: &str) -> Option<Frame> {
    let line = line.strip_prefix("    at ")?;
    let (function, place) = line.rsplit_once(" (")?;
    let place = place.strip_suffix(')')?.strip_prefix(PATH)?.strip_prefix(':')?;
    let (line, column) = place.split_once(':')?;
    Some(Frame {
        function: function.to_owned(),
        line: line.parse().ok()?,
        column: column.parse().ok()?,
    })
}

pub fn cut(text: &str, length: usize) -> &str {
    if text.len() <= length {
        return text;
    }
    let mut end = length;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Text never becomes code, and buffers are bounded.
struct Hooks;

impl HostHooks for Hooks {
    fn ensure_can_compile_strings(
        &self,
        _: Realm,
        _: &[JsString],
        _: &JsString,
        _: bool,
        _: &mut Context,
    ) -> JsResult<()> {
        let message = "`eval` and `Function` are switched off: a script runs what is written in it";
        Err(JsNativeError::eval().with_message(message).into())
    }

    fn promise_rejection_tracker(
        &self,
        promise: &JsObject<boa_engine::builtins::promise::Promise>,
        operation: OperationType,
        context: &mut Context,
    ) {
        let promise = promise.clone().upcast();
        let noted = with_run(|run| match operation {
            OperationType::Reject => run.rejected.push(promise),
            OperationType::Handle => run.rejected.retain(|known| !JsObject::equals(known, &promise)),
        });
        // Outside of a run nobody waits for it.
        drop((noted, context));
    }

    fn max_buffer_size(&self, _: &mut Context) -> u64 {
        BUFFER
    }

    fn local_timezone_offset_seconds(&self, _: i64) -> i32 {
        0
    }
}

/// The clock of the run: the machine's, or one that stands.
struct RunClock(Instant);

impl Clock for RunClock {
    fn now(&self) -> JsInstant {
        let since = self.0.elapsed();
        JsInstant::new(since.as_secs(), since.subsec_nanos())
    }

    fn system_time_millis(&self) -> i64 {
        let given = RUN.with_borrow_mut(|run| {
            let run = run.as_mut()?;
            run.lasts &= run.given.now.is_some();
            run.given.now
        });
        given.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| since.as_millis() as i64)
        })
    }
}

/// Promises go on when the script has ended. What is left when its run is over is forgotten.
#[derive(Default)]
struct Jobs(RefCell<VecDeque<Job>>);

impl JobExecutor for Jobs {
    fn enqueue_job(self: Rc<Self>, job: Job, _: &mut Context) {
        self.0.borrow_mut().push_back(job);
    }

    fn run_jobs(self: Rc<Self>, context: &mut Context) -> JsResult<()> {
        loop {
            let next = self.0.borrow_mut().pop_front();
            match next {
                Some(Job::PromiseJob(job)) => drop(job.call(context)?),
                Some(Job::GenericJob(job)) => drop(job.call(context)?),
                Some(_) => {}
                None => return Ok(()),
            }
            if with_run(|run| run.is_over())? {
                let message = "promises go on without end";
                return Err(JsNativeError::error().with_message(message).into());
            }
        }
    }
}

/// A native property by name.
pub fn global(name: &str, value: JsValue, context: &mut Context) -> JsResult<()> {
    let attributes = boa_engine::property::Attribute::all();
    context.register_global_property(js_string!(name), value, attributes)
}
