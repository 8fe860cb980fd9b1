//! Models behind HTTP: connections and limits around `dialect`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::{Client, Url, redirect};
use tokio::time::timeout_at;

use super::attempts::Variation;
use super::dialect::{Dialect, Grammar, MAX_BODY, Request, Terms};
use super::failure::Failure;
use super::input::ModelInput;
use super::output::{ModelOutput, clean};

const CONNECT: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(90);

/// Where a server is and what it is told.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Scheme, host and perhaps port and path; requests append to it.
    pub base: String,
    /// What it speaks, and of which model.
    pub terms: Terms,
    /// Sent as `Authorization: Bearer`; never shown.
    pub key: Option<String>,
    /// Whether it may be another machine.
    pub allow_remote: bool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { base, terms, key, allow_remote } = self;
        let key = key.as_ref().map(|_| "***");
        f.debug_struct("Server")
            .field("base", base)
            .field("terms", terms)
            .field("key", &key)
            .field("allow_remote", allow_remote)
            .finish()
    }
}

/// Why a base cannot be used. Each message says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    /// No such address.
    #[error("{0:?} is no http address; write for example http://127.0.0.1:11434")]
    Address(String),
    /// User, password, query or fragment.
    #[error("it must be scheme, host, port and path alone; a key goes into model.key_file")]
    Parts,
    /// Another machine.
    #[error(
        "{0:?} is another machine, and model.allow_remote is not set: what is asked tells of your hashing"
    )]
    Remote(String),
    /// A key in the clear.
    #[error("a key would go to {0:?} in the clear; lead there through a tunnel, such as ssh -L")]
    KeyInTheClear(String),
    /// No https.
    #[error(
        "https is not spoken here; lead to {0:?} through a tunnel, such as ssh -L, and name its end on this machine"
    )]
    Https(String),
    /// There can be no client.
    #[error("{0}")]
    Client(String),
}

/// Whether a base address may be used for a server. Errors: why not.
pub fn check_base(base: &str, has_key: bool, allow_remote: bool) -> Result<Url, BaseError> {
    let url = Url::parse(base).map_err(|_| BaseError::Address(clean(base)))?;
    if let ("https", Some(host)) = (url.scheme(), url.host_str()) {
        return Err(BaseError::Https(clean(host)));
    }
    let host = url.host_str().filter(|_| url.scheme() == "http");
    let Some(host) = host else { return Err(BaseError::Address(clean(base))) };
    let is_plain = url.username().is_empty() && url.password().is_none();
    if !is_plain || url.query().is_some() || url.fragment().is_some() {
        return Err(BaseError::Parts);
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_here = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !is_here && !allow_remote {
        return Err(BaseError::Remote(clean(host)));
    }
    if !is_here && has_key {
        return Err(BaseError::KeyInTheClear(clean(host)));
    }
    Ok(url)
}

/// A model server.
#[derive(Debug)]
pub struct Http {
    client: Client,
    base: String,
    server: Server,
    /// The tightest form that this server takes.
    grammar: Grammar,
}

impl Http {
    /// Errors: the base cannot be used.
    pub fn new(server: Server) -> Result<Self, BaseError> {
        let url = check_base(&server.base, server.key.is_some(), server.allow_remote)?;
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build()
            .map_err(|error| BaseError::Client(error.to_string()))?;
        Ok(Self {
            client,
            base: url.as_str().trim_end_matches('/').to_owned(),
            server,
            grammar: Grammar::default(),
        })
    }

    /// Asks it; `question` is as `variation` puts it. Errors: why there is no answer.
    pub async fn ask(
        &mut self,
        question: &ModelInput,
        variation: Variation,
        deadline: Instant,
    ) -> Result<ModelOutput, Failure> {
        loop {
            let request = self.server.terms.request(question, variation, self.grammar);
            let (status, body) = self.send(request, deadline).await?;
            match self.server.terms.answer(status, &body, question) {
                Err(failure) if self.server.terms.is_about_grammar(&failure) => {
                    self.grammar = self.grammar.looser().ok_or(failure)?;
                }
                Ok(mut answer) => {
                    if let Some(key) = &self.server.key {
                        answer.reason = answer.reason.replace(key.as_str(), "***");
                    }
                    return Ok(answer);
                }
                Err(failure) => return Err(self.without_key(failure)),
            }
        }
    }

    /// Whether it is there and has the model. Errors: what is wrong.
    pub async fn is_there(&mut self, deadline: Instant) -> Result<(), Failure> {
        let (status, body) = self.send(self.server.terms.health_request(), deadline).await?;
        // A server of decisions need not have a health page.
        if status == 404 && self.server.terms.dialect != Dialect::Ollama {
            return Ok(());
        }
        self.server.terms.health(status, &body).map_err(|failure| self.without_key(failure))
    }

    /// A server may say our own key back to us.
    fn without_key(&self, failure: Failure) -> Failure {
        match (failure, &self.server.key) {
            (Failure::Status { status, text }, Some(key)) => {
                Failure::Status { status, text: text.replace(key.as_str(), "***") }
            }
            (failure, _) => failure,
        }
    }

    /// Status and body of the reply.
    async fn send(&self, request: Request, deadline: Instant) -> Result<(u16, Vec<u8>), Failure> {
        let url = format!("{}{}", self.base, request.path);
        let mut builder = match request.body {
            Some(body) => {
                self.client.post(url).header("content-type", "application/json").body(body.to_string())
            }
            None => self.client.get(url),
        };
        if let Some(key) = &self.server.key {
            builder = builder.bearer_auth(key);
        }
        let reply = async {
            let unreachable = |error: reqwest::Error| Failure::Unreachable(cause(&error));
            let mut response = builder.send().await.map_err(unreachable)?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
                body.extend_from_slice(&chunk);
                if body.len() > MAX_BODY {
                    return Err(Failure::Schema(format!("the reply has more than {MAX_BODY} bytes")));
                }
            }
            Ok((status, body))
        };
        timeout_at(deadline.into(), reply).await.unwrap_or(Err(Failure::Late))
    }
}

/// The innermost reason of an error, which is what tells.
fn cause(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    clean(&innermost.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_this_machine_unless_told_otherwise() {
        for base in
            ["http://127.0.0.1:11434", "http://localhost/", "http://[::1]:8080/llama", "http://127.1.2.3"]
        {
            assert!(check_base(base, true, false).is_ok(), "{base}");
        }
        assert!(matches!(check_base("http://10.0.0.5:11434", false, false), Err(BaseError::Remote(_))));
        assert!(matches!(check_base("http://localhost.example", false, false), Err(BaseError::Remote(_))));
        assert!(check_base("http://10.0.0.5:11434", false, true).is_ok());
        assert!(matches!(check_base("http://gpu.example", true, true), Err(BaseError::KeyInTheClear(_))));
        assert!(matches!(check_base("https://gpu.example", true, true), Err(BaseError::Https(_))));
    }

    #[test]
    fn a_base_is_scheme_host_port_and_path_alone() {
        for base in ["127.0.0.1:11434", "ftp://localhost", "http://", "file:///etc/passwd", ""] {
            assert!(matches!(check_base(base, false, true), Err(BaseError::Address(_))), "{base}");
        }
        for base in ["http://me:secret@localhost", "http://localhost?x=1", "http://localhost#x"] {
            assert_eq!(check_base(base, false, true), Err(BaseError::Parts), "{base}");
        }
    }

    #[test]
    fn the_key_is_never_printed() {
        let terms = Terms { dialect: Dialect::OpenAi, model: "m".to_owned(), preferences: String::new() };
        let server = Server {
            base: "http://localhost".to_owned(),
            terms,
            key: Some("hunter2".to_owned()),
            allow_remote: false,
        };
        assert!(!format!("{server:?}").contains("hunter2"));
    }
}
