//! Programs as models: those that work, and each way in which one can fail.

use std::time::{Duration, Instant};

use signalcore::model::backend::{Backend, Choice};
use signalcore::model::failure::Failure;
use signalcore::model::health;
use signalcore::model::input::{CandidateFacts, ModelInput};
use signalcore::model::output::Word;
use signalcore::model::process::Program;
use signalcore::model::process::json_lines::JsonLines;
use signalcore::model::process::one_shot::OneShot;
use signalcore::model::sandbox::Level;

use crate::support::{HELLO, Script, short, soon};

fn lines(answer: &str) -> (Script, JsonLines) {
    let script = Script::new(&format!("{HELLO}\n{answer}"));
    let program = script.program();
    (script, JsonLines::new(program))
}

async fn ask(model: &mut JsonLines, deadline: Instant) -> Result<Word, Failure> {
    model.ask(&health::question(2000), deadline).await.map(|answer| answer.word)
}

#[tokio::test]
async fn the_sample_advisor_answers_from_full_sandbox_and_leaves_the_worse_candidate() {
    let script = Script::new(include_str!("../../config/advisor.py"));
    let mut backend = Backend::new(Choice::Process(script.program())).unwrap();
    let health = backend.health(Duration::from_secs(30)).await;
    let answer = health.reply.answer.unwrap();
    assert_eq!((answer.word, answer.target, health.chose_worse), (Word::Switch, Some(health::BETTER), false));
    assert!(answer.reason.contains("rejects of c1"), "{}", answer.reason);
    assert_eq!(backend.sandbox().unwrap().sandbox, Level::Full);
    backend.finish().await;
}

#[tokio::test]
async fn a_command_that_cannot_be_meant_so_says_what_to_write_instead() {
    let script = Script::new(HELLO);
    let why = async |argv: &[&str]| {
        let argv = argv.iter().map(|word| (*word).to_owned()).collect();
        let mut model = JsonLines::new(Program { argv, ..script.program() });
        match ask(&mut model, soon()).await {
            Err(Failure::NotStarted(reason)) => reason,
            other => panic!("{other:?}"),
        }
    };
    let one_word = why(&["python3 -u advisor.py"]).await;
    assert!(one_word.ends_with("no shell splits it: give each word by itself"), "{one_word}");
    // Tests run in the folder of the package.
    let relative = why(&["python3", "-u", "config/advisor.py"]).await;
    let whole = std::path::absolute("config/advisor.py").unwrap();
    assert!(relative.ends_with(&format!("write {}", whole.display())), "{relative}");
}

#[tokio::test]
async fn one_program_answers_many_questions() {
    let (_script, mut model) =
        lines("for line in sys.stdin: reply(json.loads(line), reason=str(os.getpid()))");
    let mut reasons = Vec::new();
    for _ in 0..20 {
        reasons.push(model.ask(&health::question(2000), soon()).await.unwrap().reason);
    }
    assert!(reasons.windows(2).all(|pair| pair[0] == pair[1]), "{reasons:?}");
    assert_eq!(model.name(), "test 1");
}

#[tokio::test]
async fn a_late_answer_is_skipped_and_the_next_one_taken() {
    let (_script, mut model) = lines(
        "for n, line in enumerate(sys.stdin):
    if n == 1: time.sleep(1)
    reply(json.loads(line), reason=str(n))",
    );
    ask(&mut model, soon()).await.unwrap();
    assert_eq!(ask(&mut model, short()).await, Err(Failure::Late));
    let answer = model.ask(&health::question(2000), soon()).await.unwrap();
    assert_eq!(answer.reason, "2");
}

#[tokio::test]
async fn a_question_that_is_given_up_harms_no_other() {
    let (_script, mut model) = lines(
        "for n, line in enumerate(sys.stdin):
    time.sleep(0.2)
    reply(json.loads(line), reason=str(n))",
    );
    ask(&mut model, soon()).await.unwrap();
    for _ in 0..3 {
        let question = health::question(2000);
        let asked = model.ask(&question, soon());
        let given_up = tokio::time::timeout(Duration::from_millis(50), asked).await;
        assert!(given_up.is_err());
    }
    assert_eq!(model.ask(&health::question(2000), soon()).await.unwrap().reason, "4");
}

#[tokio::test]
async fn three_silences_in_a_row_end_it_and_it_is_started_again_after_a_pause() {
    let (_script, mut model) = lines(
        "for n, line in enumerate(sys.stdin):
    if n == 0: reply(json.loads(line))",
    );
    ask(&mut model, soon()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&mut model, short()).await, Err(Failure::Late));
    }
    let failure = ask(&mut model, soon()).await.unwrap_err();
    assert!(failure.to_string().contains("started again in"), "{failure}");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(ask(&mut model, soon()).await, Ok(Word::Proceed));
}

#[tokio::test]
async fn whatever_is_no_answer_ends_it_and_says_what_it_was() {
    for (program, says) in [
        ("for line in sys.stdin: print('PROCEED', flush=True)", "PROCEED"),
        ("for line in sys.stdin: print('{\"id\": 99}', flush=True)", "no answer with its id"),
        ("for line in sys.stdin: print('x' * 20000, flush=True)", "longer than 16384 bytes"),
        ("sys.stdin.readline(); sys.exit('out of memory')", "exit code 1: out of memory"),
        ("sys.stdin.readline(); os.kill(os.getpid(), 9)", "killed by a signal"),
        (
            "line = sys.stdin.readline()
while True: print('{\"id\": 0}', flush=True)",
            "more than 100 answers",
        ),
    ] {
        let (_script, mut model) = lines(program);
        let failure = ask(&mut model, soon()).await.unwrap_err();
        assert!(matches!(&failure, Failure::Process(text) if text.contains(says)), "{program}: {failure}");
    }
    let (_script, mut model) =
        lines("for line in sys.stdin: reply(json.loads(line), state_id='0123456789ab')");
    assert!(matches!(ask(&mut model, soon()).await, Err(Failure::Schema(_))));
    let (_script, mut model) = lines("for line in sys.stdin: reply(json.loads(line), decision='SKIP')");
    assert!(matches!(ask(&mut model, soon()).await, Err(Failure::Schema(_))));
}

#[tokio::test]
async fn a_program_whose_numbers_are_all_floats_is_understood() {
    let hello = HELLO.replace(r#""hello": 1"#, r#""hello": 1.0"#);
    let answer =
        "question = json.loads(line); reply(question, v=1.0, id=float(question['id']), valid_for_ms=6e4)";
    let script = Script::new(&format!("{hello}\nfor line in sys.stdin: {answer}"));
    let answer = JsonLines::new(script.program()).ask(&health::question(2000), soon()).await.unwrap();
    assert_eq!(answer.valid_for, Duration::from_secs(60));
}

#[tokio::test]
async fn a_program_that_does_not_say_hello_is_not_spoken_to() {
    let script = Script::new("print('ready', flush=True)\nimport time\ntime.sleep(60)");
    let mut model = JsonLines::new(script.program());
    let failure = ask(&mut model, soon()).await.unwrap_err();
    assert!(failure.to_string().contains("no hello"), "{failure}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_not_started() {
    let mut program = Script::new("").program();
    program.argv = vec!["no-such-program".to_owned()];
    let failure = ask(&mut JsonLines::new(program), soon()).await.unwrap_err();
    assert!(matches!(&failure, Failure::NotStarted(text) if text.contains("no-such-program")), "{failure}");
}

#[tokio::test]
async fn nothing_that_it_started_outlives_it() {
    let (_script, mut model) = lines(
        "line = sys.stdin.readline()
import subprocess
child = subprocess.Popen(['sleep', '300'])
reply(json.loads(line), reason=f'{os.getpid()} {child.pid}')
time.sleep(300)",
    );
    let answer = model.ask(&health::question(2000), soon()).await.unwrap();
    let alive =
        |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z"));
    let pids: Vec<_> = answer.reason.split(' ').map(str::to_owned).collect();
    assert!(pids.iter().all(|pid| alive(pid)), "{pids:?}");
    drop(model);
    let start = Instant::now();
    while pids.iter().any(|pid| alive(pid)) {
        assert!(start.elapsed() < Duration::from_secs(30), "{pids:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn once(program: &str) -> Result<Word, Failure> {
    let script = Script::new(program);
    let mut model = OneShot::new(script.program(), "stay".to_owned());
    let answer = model.ask(&health::question(2000), soon()).await;
    answer.map(|answer| answer.word)
}

#[tokio::test]
async fn a_program_for_one_question_is_read_as_people_would() {
    let json = r#"{"decision":"SWITCH","target":"c0","confidence":0.9}"#;
    for (program, expected) in [
        (format!("print('<think>hm</think>\\n```json\\n{json}\\n```')"), Word::Switch),
        (
            "import sys\nassert 'preferences: stay' in sys.stdin.read()\nprint('DECISION: HOLD')".to_owned(),
            Word::Hold,
        ),
    ] {
        assert_eq!(once(&program).await, Ok(expected), "{program}");
    }
    for (program, says) in [
        ("print('do not PROCEED')", "no JSON object"),
        ("", "empty"),
        ("import sys\nprint('DECISION: HOLD')\nsys.exit('sorry')", "exit code 1: sorry"),
        ("print('x' * 100000)", "more than 65536 bytes"),
    ] {
        let failure = once(program).await.unwrap_err();
        assert!(failure.to_string().contains(says), "{program}: {failure}");
    }
}

#[tokio::test]
async fn a_program_for_one_question_that_never_ends_is_ended() {
    let script = Script::new("import time\ntime.sleep(300)");
    let mut model = OneShot::new(script.program(), String::new());
    let deadline = Instant::now() + Duration::from_secs(1);
    let answer = model.ask(&health::question(1000), deadline).await;
    assert_eq!(answer, Err(Failure::Late));
}

#[tokio::test]
async fn a_program_that_has_ended_is_taken_note_of_at_once_and_started_again_for_a_later_question() {
    let (_script, mut model) =
        lines("question = json.loads(sys.stdin.readline()); reply(question, reason=str(os.getpid()))");
    let pid = model.ask(&health::question(2000), soon()).await.unwrap().reason;
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists() || cfg!(not(target_os = "linux")));
    let how = tokio::time::timeout(Duration::from_secs(20), model.ended()).await.unwrap();
    assert_eq!(how, "exit code 0");
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists(), "a zombie");
    tokio::time::sleep(Duration::from_millis(1500)).await; // it is not started again at once
    let again = model.ask(&health::question(2000), soon()).await.unwrap().reason;
    assert_ne!(again, pid);
}

#[tokio::test]
async fn an_empty_answer_is_asked_for_a_third_time_with_the_best_candidates_alone() {
    // The fourth runs: it is asked about as well, and named as before.
    let mut question = health::question(2000);
    let (best, worst) = (question.candidates[0].clone(), question.candidates[1].clone());
    let candidate = |place| CandidateFacts {
        id: ModelInput::name(place),
        ..if place < 3 { best.clone() } else { worst.clone() }
    };
    question.candidates = (0..4).map(candidate).collect();
    question.running.candidate = ModelInput::name(3);
    let question = question.sign();
    let once = "
import json, sys
question = json.loads(sys.stdin.read().rsplit('Data: ', 1)[1])
ids = [candidate['id'] for candidate in question['candidates']]
if len(ids) < 4: print(json.dumps({'decision': 'HOLD', 'target': 'c3', 'confidence': 1, 'reason': ' '.join(ids)}))";
    let lines = format!(
        "{HELLO}
for line in sys.stdin:
    question = json.loads(line)
    ids = [candidate['id'] for candidate in question['candidates']]
    if len(ids) < 4: reply(question, decision='HOLD', target='c3', confidence=1, reason=' '.join(ids))
    else: print(json.dumps({{'id': question['id']}}), flush=True)"
    );
    let (once, lines) = (Script::new(once), Script::new(&lines));
    for choice in [Choice::OneShot(once.program(), String::new()), Choice::Process(lines.program())] {
        let kind = choice.name();
        let mut backend = Backend::new(choice).unwrap();
        let reply = backend.ask(&question, soon()).await;
        let answer = reply.answer.unwrap_or_else(|failure| panic!("{kind}: {failure}"));
        assert_eq!((reply.retries, answer.reason.as_str()), (2, "c0 c1 c3"), "{kind}");
        assert_eq!(answer.target, Some(3), "{kind}: by its place in the whole question");
        backend.finish().await;
    }
}
