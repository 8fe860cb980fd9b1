//! Whatever a model does instead of answering, the engine's output is the baseline's, byte for byte: the same script is
//! played without a model and beside each failing one, by two strategies, by a shadow and by one that may advise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use signalcore::engine::policy::Strategy;
use signalcore::model::advisor::{Advisor, Demotion, Mode};
use signalcore::model::backend::{Backend, Choice};
use signalcore::model::dialect::Dialect;
use signalcore::model::process::Program;
use signalcore::model::task::{self, ModelEnd, ModelHandle};
use tokio::task::JoinSet;

use crate::script::{Played, Setting, play};
use crate::server::{Answer, Fake, Got, nowhere, open_ai, server_at};
use crate::support::{HELLO, Script};

/// For failures that do not wait for it.
const LONG: Duration = Duration::from_secs(3);
/// For those that do.
const SHORT: Duration = Duration::from_millis(200);
/// A program that leaves three questions without an answer is started anew.
const SILENT: &[&str] = &["late", "process"];
/// An answer that would be followed, if it came in time and whole.
const SWITCH: &str =
    r#"{"decision":"SWITCH","target":"c1","confidence":1,"valid_for_ms":300000,"reason":"follow me"}"#;
/// What programs have after their hello: `questions()`, but for those of health, which are answered; `other(question)`, whom
/// it could name instead of whom is hashed for.
const QUESTIONS: &str = r#"
import signal
def questions():
    for line in sys.stdin:
        question = json.loads(line)
        if question["event"] == "health":
            reply(question)
        else:
            yield question
def other(question):
    running = question["running"]["candidate"]
    good = [c["id"] for c in question["candidates"] if c["id"] != running and c["allowed"] and not c["alarm"]]
    return {"decision": "SWITCH", "target": good[0], "confidence": 1, "valid_for_ms": 300000} if good else {}
"#;

/// A model that fails.
#[derive(Clone)]
struct Failing {
    what: &'static str,
    choice: Choice,
    deadline: Duration,
    /// How its failures are counted: some as the first of these.
    kinds: &'static [&'static str],
    /// Whether it is well until it is asked in earnest.
    is_well: bool,
    /// Kept as long as it is asked.
    _script: Option<Arc<Script>>,
}

impl Failing {
    /// A program that says hello and answers questions of health.
    fn program(what: &'static str, text: &str, deadline: Duration, kinds: &'static [&'static str]) -> Self {
        let script = Arc::new(Script::new(&format!("{HELLO}{QUESTIONS}{text}\n")));
        // Many are started at once, and their user's processes count together.
        let choice = Choice::Process(Program { processes: 1000, ..script.program() });
        Self { what, choice, deadline, kinds, is_well: true, _script: Some(script) }
    }

    /// A server that answers questions of health.
    fn server<A: Into<Answer>>(
        what: &'static str,
        answer: impl Fn(&Got) -> A + Send + Sync + 'static,
        deadline: Duration,
        kinds: &'static [&'static str],
    ) -> Self {
        let fake = Fake::new(move |_, got| {
            let is_health = got.path == "/health" || got.body.to_string().contains(r#"\"event\":\"health\""#);
            if is_health { open_ai(r#"{"decision":"PROCEED"}"#).into() } else { answer(got).into() }
        });
        let choice = Choice::Http(fake.server(Dialect::OpenAi));
        Self { what, choice, deadline, kinds, is_well: true, _script: None }
    }

    fn never_well(self) -> Self {
        Self { is_well: false, ..self }
    }

    /// The program is another.
    fn running(self, argv: &[&str]) -> Self {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let Choice::Process(program) = self.choice else { panic!("it is no program") };
        Self { choice: Choice::Process(Program { argv, ..program }), ..self }
    }

    fn started_for_each_question(self) -> Self {
        let Choice::Process(program) = self.choice else { panic!("it is no program") };
        Self { choice: Choice::OneShot(program, String::new()), ..self }
    }
}

fn started(choice: &Choice, mode: Mode, deadline: Duration) -> (ModelHandle, ModelEnd) {
    task::start(Advisor::new(mode, choice.who(), deadline), Backend::new(choice.clone()).unwrap()).unwrap()
}

fn setting(strategy: Strategy, start: Instant) -> Setting {
    Setting { strategy, start, regret_a_day: 0.002 }
}

/// Plays beside a failing model, sees that it failed while it was asked and that nothing came of it.
async fn beside(failing: Failing, mode: Mode, setting: Setting) -> Played {
    let what = format!("{}, {mode:?}, {:?}", failing.what, setting.strategy);
    let (mut handle, end) = started(&failing.choice, mode, failing.deadline);
    let tried = handle.condition.wait_for(|condition| condition.health.is_some()).await.unwrap().clone();
    let is_well = tried.health.as_ref().is_some_and(Result::is_ok);
    assert_eq!(is_well, failing.is_well, "{what}: {:?}", tried.health);
    let played = play(setting, Some(&mut handle)).await;
    let figures = handle.condition.borrow().figures.clone().expect("it was asked");
    assert_eq!((figures.answered, played.advised), (0, 0), "{what}: {figures:?}");
    assert!(figures.breaker_open && figures.calls >= 5, "{what}: {figures:?}");
    let kinds: Vec<_> = figures.failures.keys().copied().collect();
    // A busy machine makes everything late.
    let is_known = |kind: &&str| failing.kinds.contains(kind) || ["late", "cancelled"].contains(kind);
    assert!(kinds.iter().all(is_known), "{what}: {figures:?}");
    assert!(kinds.contains(&failing.kinds[0]), "{what}: {figures:?}");
    drop(handle);
    tokio::time::timeout(Duration::from_secs(10), end).await.expect(&what).unwrap();
    played
}

/// The engine does the same beside each of them as without any.
async fn change_nothing(failing: Vec<Failing>) {
    let start = Instant::now();
    let mut runs = JoinSet::new();
    for strategy in [Strategy::Value, Strategy::Failover] {
        let setting = setting(strategy, start);
        let baseline = Arc::new(play(setting, None).await);
        assert!(baseline.told.len() > 600, "{strategy:?} does {} things", baseline.told.len());
        for kind in ["Dispatch(", "Submit(", "Switched", "Rejected", "Accepted", "Lost("] {
            let count = baseline.told.iter().filter(|told| told.contains(kind)).count();
            assert!(count >= 5, "{strategy:?}: {kind} {count} times");
        }
        assert_eq!(baseline.asked, 0);
        for failing in &failing {
            for mode in [Mode::Shadow, Mode::Advise] {
                let (failing, baseline) = (failing.clone(), Arc::clone(&baseline));
                runs.spawn(async move {
                    let what = failing.what;
                    let played = beside(failing, mode, setting).await;
                    assert!(played.asked > 100, "{what}: asked {} times", played.asked);
                    assert_same(&played, &baseline, &format!("{what}, {mode:?}, {strategy:?}"));
                });
            }
        }
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

fn assert_same(played: &Played, baseline: &Played, what: &str) {
    let first = played.told.iter().zip(&baseline.told).find(|(played, baseline)| played != baseline);
    assert_eq!(first, None, "{what}");
    assert_eq!(played.told.len(), baseline.told.len(), "{what}");
    assert!(played.ends.is_empty(), "{what}: {:?}", played.ends);
}

#[tokio::test]
async fn a_model_that_takes_too_long_changes_nothing() {
    let slow = "for question in questions():\n    time.sleep(0.4)\n    reply(question, **other(question))";
    change_nothing(vec![
        Failing::program("never answers", "for question in questions(): pass", SHORT, SILENT),
        Failing::program("answers late", slow, SHORT, SILENT),
        Failing::program(
            "is stopped",
            "for question in questions(): os.kill(os.getpid(), signal.SIGSTOP)",
            SHORT,
            SILENT,
        ),
        Failing::program("burns a core", "for question in questions():\n    while True: pass", SHORT, SILENT),
        Failing::server("a server that hangs", |_| Answer::Silence, SHORT, &["late"]),
        Failing::server("a server that drips", |_| Answer::Drip(open_ai(SWITCH).1), SHORT, &["late"]),
    ])
    .await;
}

#[tokio::test]
async fn a_model_whose_connection_fails_changes_nothing() {
    let cut = |text: &'static str| move |_: &Got| Answer::Cut(text.to_owned());
    let broken =
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"choices\":[{";
    let mut refused =
        Failing::server("refuses connections", |_| Answer::Silence, LONG, &["unreachable"]).never_well();
    refused.choice = Choice::Http(server_at(&nowhere(), Dialect::OpenAi));
    let closes = "for question in questions():\n    os.close(1)\n    sys.stdin.read()";
    change_nothing(vec![
        refused,
        Failing::server("closes at once", cut(""), LONG, &["unreachable"]),
        Failing::server("closes in the middle", cut(broken), LONG, &["unreachable"]),
        Failing::server("speaks no HTTP", cut("SSH-2.0-OpenSSH_9.9\r\n\r\n"), LONG, &["unreachable"]),
        Failing::program("closes its output", closes, SHORT, &["late", "process"]),
    ])
    .await;
}

#[tokio::test]
async fn a_model_whose_answers_are_empty_changes_nothing() {
    let empty_line = "for question in questions(): print('', flush=True)";
    change_nothing(vec![
        Failing::program("says empty lines", empty_line, SHORT, SILENT),
        Failing::program("says nothing and ends", "", LONG, &["empty"])
            .running(&["true"])
            .started_for_each_question()
            .never_well(),
        Failing::server("an empty body", |_| (200, String::new()), LONG, &["empty"]),
        Failing::server("an empty text", |_| open_ai(""), LONG, &["empty"]),
    ])
    .await;
}

#[tokio::test]
async fn a_model_that_crashes_changes_nothing() {
    let amid = r#"for question in questions():
    sys.stdout.write('{"v": 1, "id": ')
    sys.stdout.flush()
    os._exit(139)"#;
    let killed = "for question in questions(): signal.setitimer(signal.ITIMER_REAL, 0.05)";
    change_nothing(vec![
        Failing::program("ends at once", "", LONG, &["process"]).running(&["true"]).never_well(),
        Failing::program("fails for each question", "", LONG, &["process"])
            .running(&["false"])
            .started_for_each_question()
            .never_well(),
        Failing::program("crashes in the middle of an answer", amid, LONG, &["process"]),
        Failing::program("is killed again and again", killed, LONG, &["process"]),
    ])
    .await;
}

#[tokio::test]
async fn a_model_that_is_not_to_be_had_changes_nothing() {
    let status = |status| move |_: &Got| (status, json!({"error": {"message": "no"}}).to_string());
    change_nothing(vec![
        Failing::program("is not installed", "", LONG, &["not_started", "process"])
            .running(&["no-such-program"])
            .never_well(),
        Failing::server("404", status(404), LONG, &["status"]),
        Failing::server("429", status(429), LONG, &["status"]),
        Failing::server("500", status(500), LONG, &["status"]),
        Failing::server("503", status(503), LONG, &["status"]),
        Failing::server("leads elsewhere", status(302), LONG, &["status"]),
    ])
    .await;
}

#[tokio::test]
async fn a_program_that_talks_nonsense_changes_nothing() {
    let each = |answer: &str| format!("for question in questions(): {answer}");
    let flood = "for question in questions():\n    while True: print('x' * 1000)";
    let garbage = each(r#"os.write(1, b'\x00\xff\x1b[2J{"id": "\n')"#);
    let newer = each("reply(question, **{**other(question), 'id': question['id'] + 7})");
    let older = each("reply(question, **{**other(question), 'id': 0})");
    let word = each("reply(question, decision='DO AS I SAY', target='c1')");
    let target = each("reply(question, decision='SWITCH', target='c9', confidence=1)");
    let state = each("reply(question, **{**other(question), 'state_id': '000000000000'})");
    change_nothing(vec![
        Failing::program("floods", flood, LONG, &["process"]),
        Failing::program("garbage", &garbage, LONG, &["process"]),
        Failing::program("a number that is to come", &newer, LONG, &["process"]),
        Failing::program("an old number", &older, SHORT, SILENT),
        Failing::program("a word that is none", &word, LONG, &["schema"]),
        Failing::program("a target that is none", &target, LONG, &["schema"]),
        Failing::program("another state", &state, LONG, &["schema"]),
    ])
    .await;
}

#[tokio::test]
async fn a_server_that_talks_nonsense_changes_nothing() {
    let cut_off = |_: &Got| {
        let body = json!({"choices": [{"message": {"content": SWITCH}, "finish_reason": "length"}]});
        (200, body.to_string())
    };
    let nowhere = SWITCH.replace("c1", "c9");
    let unreadable = &["unreadable", "schema"];
    change_nothing(vec![
        Failing::server("half a JSON", |_| (200, open_ai(SWITCH).1[..60].to_owned()), LONG, unreadable),
        Failing::server("cut off by its own limit", cut_off, LONG, unreadable),
        Failing::server("too long", |_| (200, " ".repeat(70_000) + &open_ai(SWITCH).1), LONG, &["schema"]),
        Failing::server("a page", |_| (200, "<html>Sign in</html>".to_owned()), LONG, unreadable),
        Failing::server("prose", |_| open_ai("you should not PROCEED but SWITCH c1"), LONG, unreadable),
        Failing::server("a target that is none", move |_| open_ai(&nowhere), LONG, &["schema"]),
    ])
    .await;
}

/// Plays beside a program that names somebody else each time.
async fn beside_a_good_one(mode: Mode, setting: Setting) -> (Played, ModelHandle) {
    let answers = "for question in questions(): reply(question, **other(question))";
    let script = Script::new(&format!("{HELLO}{QUESTIONS}{answers}\n"));
    let (mut handle, _) = started(&Choice::Process(script.program()), mode, Duration::from_secs(30));
    handle.condition.wait_for(|condition| condition.health.is_some()).await.unwrap();
    let played = play(setting, Some(&mut handle)).await;
    (played, handle)
}

#[tokio::test]
async fn a_model_that_answers_does_change_it_once_it_may_advise() {
    let start = Instant::now();
    for (strategy, mode, is_followed) in [
        (Strategy::Value, Mode::Advise, true),
        (Strategy::Value, Mode::Shadow, false),
        (Strategy::Failover, Mode::Advise, false),
    ] {
        let setting = setting(strategy, start);
        let baseline = play(setting, None).await;
        let (played, handle) = beside_a_good_one(mode, setting).await;
        let figures = handle.condition.borrow().figures.clone().unwrap();
        assert!(figures.answered >= 5 && played.advised >= 5, "{figures:?}");
        let applied = played.ends.iter().filter(|end| *end == "Applied").count();
        assert_eq!(applied > 0, is_followed, "{strategy:?}, {mode:?}: {:?}", played.ends);
        assert_eq!(played.told != baseline.told, is_followed, "{strategy:?}, {mode:?}");
    }
}

#[tokio::test]
async fn a_model_whose_budget_of_regret_is_spent_becomes_a_shadow() {
    // A tenth of an ideal second a day.
    let setting = Setting { regret_a_day: 1e-6, ..setting(Strategy::Value, Instant::now()) };
    let (played, handle) = beside_a_good_one(Mode::Advise, setting).await;
    let condition = handle.condition.borrow().clone();
    assert_eq!(
        (condition.mode, condition.demoted),
        (Mode::Shadow, Some(Demotion::Regret)),
        "{:?}",
        played.ends
    );
    assert_eq!(played.ends.last().map(String::as_str), Some("Shadowed"), "it is still asked");
    let first_shadow = played.ends.iter().position(|end| end == "Shadowed").unwrap();
    assert!(played.ends[..first_shadow].iter().any(|end| end == "Applied"), "{:?}", played.ends);
    assert!(played.ends[first_shadow..].iter().all(|end| end == "Shadowed"), "{:?}", played.ends);
}
