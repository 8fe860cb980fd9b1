//! A model that answers, behind the task as the engine asks it. Those that fail are in `baseline.rs`.

use std::time::{Duration, Instant};

use signalcore::model::advisor::{Advisor, Mode, Question};
use signalcore::model::backend::{Backend, Choice};
use signalcore::model::health;
use signalcore::model::statistics::Figures;
use signalcore::model::task::{self, ModelHandle};

use crate::support::{HELLO, Script};

const DEADLINE: Duration = Duration::from_millis(400);

/// Asks until `done`, each time of another state, and takes note of all advice. Gives the figures then.
async fn asked(handle: &mut ModelHandle, done: impl Fn(&Figures) -> bool) -> (Figures, usize) {
    let (start, mut nth, mut advised) = (Instant::now(), 0, 0);
    loop {
        let mut input = health::question(400);
        input.candidates[0].shares_10m = 1 << (nth % 30);
        input.candidates[1].shares_10m = 1 << (nth / 30 % 30);
        nth += 1;
        let question = Question {
            input: input.sign(),
            upstreams: vec![0, 1],
            parent: [1; 32],
            moment: 0,
            soft_moment: 0,
        };
        handle.questions.send_replace(Some(question));
        let waited = tokio::time::timeout(Duration::from_millis(500), handle.condition.changed());
        let _ = waited.await;
        while handle.advice.try_recv().is_ok() {
            advised += 1;
        }
        let figures = handle.condition.borrow().figures.clone();
        if let Some(figures) = figures.filter(|figures| done(figures)) {
            return (figures, advised);
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", handle.condition.borrow());
    }
}

fn started(choice: Choice) -> (ModelHandle, task::ModelEnd) {
    let advisor = Advisor::new(Mode::Advise, choice.who(), DEADLINE);
    task::start(advisor, Backend::new(choice).unwrap()).unwrap()
}

#[tokio::test]
async fn a_model_that_answers_is_heard_and_a_hard_event_voids_what_was_asked() {
    let script = Script::new(&format!(
        "{HELLO}\nfor line in sys.stdin: reply(json.loads(line), decision='SWITCH', target='c0', confidence=0.9)"
    ));
    let (mut handle, _end) = started(Choice::Process(script.program()));
    let (figures, advised) = asked(&mut handle, |figures| figures.answered >= 3).await;
    assert!(advised >= 1 && figures.breaker_openings == 0, "{figures:?}");
    let slow =
        Script::new(&format!("{HELLO}\nfor line in sys.stdin: time.sleep(0.2); reply(json.loads(line))"));
    let (mut handle, _end) = started(Choice::Process(slow.program()));
    asked(&mut handle, |figures| figures.answered >= 1).await;
    let mut moment = 0;
    let start = Instant::now();
    while handle.condition.borrow().figures.as_ref().is_none_or(|figures| figures.cancelled == 0) {
        let mut input = health::question(400);
        input.candidates[0].rejects_10m = 1 << (moment % 30);
        let question =
            Question { input: input.sign(), upstreams: vec![0, 1], parent: [2; 32], moment, soft_moment: 0 };
        handle.questions.send_replace(Some(question));
        tokio::time::sleep(Duration::from_millis(50)).await;
        moment += 1;
        handle.moment.send_replace(moment);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(start.elapsed() < Duration::from_secs(60));
    }
}

/// Children of this process that have ended and are waited for by nobody. Source: proc(5), state and parent in `stat`.
#[cfg(target_os = "linux")]
fn zombies() -> Vec<String> {
    let own = std::process::id().to_string();
    let stats = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = stats.filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let is_zombie = |stat: &String| {
        let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
        let mut fields = behind.split_whitespace();
        fields.next() == Some("Z") && fields.next() == Some(&own)
    };
    stats.filter(is_zombie).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_that_ends_between_two_questions_leaves_no_zombie() {
    let script = Script::new(&format!("{HELLO}\nreply(json.loads(sys.stdin.readline()))"));
    let (mut handle, _end) = started(Choice::Process(script.program()));
    // The trial at the start is its one question.
    handle.condition.wait_for(|condition| condition.health.is_some()).await.unwrap();
    let start = Instant::now();
    while !zombies().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", zombies());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_model_that_prefers_what_is_plainly_worse_is_well_and_warned_of() {
    let script = Script::new(&format!(
        "{HELLO}\nfor line in sys.stdin: reply(json.loads(line), decision='HOLD', confidence=1)"
    ));
    let (mut handle, _end) = started(Choice::Process(script.program()));
    let condition = handle.condition.wait_for(|condition| condition.health.is_some()).await.unwrap();
    assert!(condition.health.as_ref().is_some_and(Result::is_ok), "{:?}", condition.health);
    assert_eq!(condition.warning, Some("prefers a candidate that is plainly worse"));
}
