//! The breaker of a model behind a real server, with a clock that is put forward.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use super::super::backend::Choice;
use super::super::dialect::{Dialect, Terms};
use super::super::health;
use super::super::http::Server;
use super::super::input::{ModelInput, Occasion};
use super::*;

/// What a server is asked, and whether it answers that.
#[derive(Default)]
struct Served {
    heard: Mutex<Vec<&'static str>>,
    is_well: AtomicBool,
}

impl Served {
    fn answer(&self, stream: &mut TcpStream) {
        let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut chunk) {
            request.extend_from_slice(&chunk[..length]);
            if request.ends_with(b"}") || request.starts_with(b"GET") && request.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let text = String::from_utf8_lossy(&request).replace('\\', "");
        if request.starts_with(b"POST") {
            let is_trial = text.contains(r#""event":"health""#);
            self.heard.lock().unwrap().push(if is_trial { "trial" } else { "question" });
        }
        let is_good = request.starts_with(b"GET") || self.is_well.load(Ordering::Relaxed);
        let status = if is_good { "200 OK" } else { "404 Not Found" };
        let body = r#"{"choices":[{"message":{"content":"{\"decision\":\"PROCEED\"}"}}]}"#;
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
            .ok();
    }

    fn heard(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

fn serve(served: &Arc<Served>) -> Choice {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::clone(served);
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            served.answer(&mut stream);
        }
    });
    let terms = Terms { dialect: Dialect::OpenAi, model: "m".to_owned(), preferences: String::new() };
    Choice::Http(Server { base, terms, key: None, allow_remote: false })
}

async fn put_forward(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_model_whose_breaker_was_open_has_to_pass_a_trial_before_it_is_asked_in_earnest() {
    let served = Arc::<Served>::default();
    let choice = serve(&served);
    let (questions, question) = watch::channel(None);
    let (_moment, moments) = watch::channel(0);
    let (advise, _advice) = mpsc::channel(WAITING);
    let (conditions, condition) = watch::channel(Condition::default());
    let advisor = Advisor::new(Mode::Advise, choice.who(), Duration::from_secs(20));
    let backend = Backend::new(choice).unwrap();
    let mut task = Task { advisor, backend, question, moments, advise, conditions };
    let mut ask = async || {
        let input = ModelInput { event: Occasion::Periodic, ..health::question(2000) }.sign();
        let asked = Question { input, upstreams: vec![0, 1], parent: [1; 32], moment: 0, soft_moment: 0 };
        questions.send_replace(Some(asked));
        task.take_question();
        task.ask().await.unwrap();
        task.tell();
        task.advisor.figures().breaker
    };
    for breaker in ["closed", "closed", "closed", "closed", "open", "open"] {
        assert_eq!(ask().await, breaker);
    }
    assert_eq!(served.heard(), ["question"; 5]);
    put_forward(31).await;
    assert_eq!(ask().await, "open");
    assert_eq!(served.heard(), ["trial"], "it fails that, and is asked no more");
    assert!(condition.borrow().health.as_ref().is_some_and(Result::is_err), "{:?}", condition.borrow());
    put_forward(31).await;
    assert_eq!((ask().await, served.heard().len()), ("open", 0), "the pause has doubled");
    served.is_well.store(true, Ordering::Relaxed);
    put_forward(31).await;
    assert_eq!(ask().await, "closed");
    assert_eq!(served.heard(), ["trial", "question"]);
    assert!(condition.borrow().health.as_ref().is_some_and(Result::is_ok), "{:?}", condition.borrow());
}
