//! Three kinds of model servers: a question to a request, a reply to an answer. No I/O.

use serde::Deserialize;
use serde_json::{Value, json};

use super::attempts::Variation;
use super::failure::Failure;
use super::input::ModelInput;
use super::output::{self, Binding, ModelOutput, Word};
use super::{extract, prompt};

/// Largest reply that is read. Unit: bytes.
pub const MAX_BODY: usize = 64 * 1024;
/// Tokens an answer may have.
const MAX_TOKENS: u32 = 200;
/// Tokens of context: a question has some 3000 at most.
const CONTEXT: u32 = 4096;
/// How sure a choice of a decision model is, by name of its question.
const QUESTION: &str = "d";
const UNSURE: &str = "RETRY";

/// What a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Ollama's own. Source: its `docs/api.md`.
    Ollama,
    /// OpenAI's chat completions, as llama.cpp's server and vLLM speak it.
    OpenAi,
    /// A decision model at `/v1/systemone`, as llama.cpp's server offers it.
    Decision,
}

/// How tightly a server of OpenAI's dialect is bound to the schema: some know less.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum Grammar {
    /// To the schema.
    #[default]
    Schema,
    /// To JSON.
    Json,
    /// To nothing.
    None,
}

impl Grammar {
    /// The next looser one.
    pub fn looser(self) -> Option<Self> {
        match self {
            Self::Schema => Some(Self::Json),
            Self::Json => Some(Self::None),
            Self::None => None,
        }
    }
}

/// A request: a path below the server's base, and the body of a POST or `None` for a GET.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Begins with a slash.
    pub path: &'static str,
    /// JSON.
    pub body: Option<Value>,
}

/// What is asked of a server each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// What it speaks.
    pub dialect: Dialect,
    /// Its name for the model.
    pub model: String,
    /// The operator's, for language models.
    pub preferences: String,
}

impl Terms {
    /// The request for one attempt; `question` is as `variation` puts it.
    pub fn request(&self, question: &ModelInput, variation: Variation, grammar: Grammar) -> Request {
        let temperature = variation.temperature();
        let messages = || {
            json!([
                {"role": "system", "content": prompt::system(&self.preferences)},
                {"role": "user", "content": question.to_line()},
            ])
        };
        let (path, body) = match self.dialect {
            Dialect::Ollama => (
                "/api/chat",
                json!({
                    "model": self.model, "stream": false, "think": false, "keep_alive": "10m",
                    "format": prompt::wire_schema(),
                    "options": {"temperature": temperature, "seed": 1, "num_predict": MAX_TOKENS, "num_ctx": CONTEXT},
                    "messages": messages(),
                }),
            ),
            Dialect::OpenAi => {
                let mut body = json!({
                    "model": self.model, "temperature": temperature, "max_tokens": MAX_TOKENS, "stream": false,
                    "messages": messages(),
                });
                let format = match grammar {
                    Grammar::Schema => Some(json!({
                        "type": "json_schema",
                        "json_schema": {"name": "decision", "strict": true, "schema": prompt::wire_schema()},
                    })),
                    Grammar::Json => Some(json!({"type": "json_object"})),
                    Grammar::None => None,
                };
                if let Some(format) = format {
                    body["response_format"] = format;
                }
                ("/v1/chat/completions", body)
            }
            Dialect::Decision => {
                let mut criteria: serde_json::Map<_, _> =
                    question.candidates.iter().map(|candidate| (candidate.id.clone(), Value::Null)).collect();
                criteria.insert(question.running.candidate.clone(), "keep".into());
                criteria.insert(UNSURE.to_owned(), "unsure".into());
                let ask = json!({
                    "type": "choice",
                    "instructions": "Which candidate should be mined next?",
                    "criteria": criteria,
                });
                let state = question.to_value();
                ("/v1/systemone", json!({"model": self.model, "state": state, "questions": {QUESTION: ask}}))
            }
        };
        Request { path, body: Some(body) }
    }

    /// What a reply says. Errors: why it is no answer.
    pub fn answer(&self, status: u16, body: &[u8], question: &ModelInput) -> Result<ModelOutput, Failure> {
        let text =
            std::str::from_utf8(body).map_err(|_| Failure::Unreadable("it is not UTF-8".to_owned()))?;
        if status != 200 {
            return Err(Failure::Status { status, text: fault(text) });
        }
        if text.trim().is_empty() {
            return Err(Failure::Empty);
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| Failure::Unreadable(error.to_string()))?;
        // Ollama tells of some errors with a status that says all is well.
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(Failure::Status { status: 500, text: fault(text) });
        }
        match self.dialect {
            Dialect::Ollama => said(&value["message"]["content"], value["done_reason"].as_str(), question),
            Dialect::OpenAi => {
                let choice = &value["choices"][0];
                said(&choice["message"]["content"], choice["finish_reason"].as_str(), question)
            }
            Dialect::Decision => chosen(&value, question),
        }
    }

    /// Whether a refusal is about the form that was asked for, so that a looser one may be taken.
    pub fn is_about_grammar(&self, failure: &Failure) -> bool {
        let Failure::Status { status: 400, text } = failure else { return false };
        let text = text.to_ascii_lowercase();
        let words = ["schema", "grammar", "response_format", "json_object", "guided"];
        self.dialect == Dialect::OpenAi && words.iter().any(|word| text.contains(word))
    }

    /// The request that tells whether the server is there and has the model.
    pub fn health_request(&self) -> Request {
        let path = match self.dialect {
            Dialect::Ollama => "/api/tags",
            Dialect::OpenAi | Dialect::Decision => "/health",
        };
        Request { path, body: None }
    }

    /// Whether a reply to the health request is a good one. Errors: what is wrong, for the operator.
    pub fn health(&self, status: u16, body: &[u8]) -> Result<(), Failure> {
        let text = String::from_utf8_lossy(body);
        if status != 200 {
            return Err(Failure::Status { status, text: fault(&text) });
        }
        if self.dialect != Dialect::Ollama {
            return Ok(());
        }
        let tags: Tags = serde_json::from_str(&text)
            .map_err(|error| Failure::Unreadable(output::clean(&error.to_string())))?;
        let is_it = |name: &str| name == self.model || name.strip_suffix(":latest") == Some(&self.model);
        if tags.models.iter().any(|model| is_it(&model.name)) {
            return Ok(());
        }
        let names: Vec<_> = tags.models.iter().take(8).map(|model| output::clean(&model.name)).collect();
        let text = format!("it has no model {:?}, only: {}", output::clean(&self.model), names.join(", "));
        Err(Failure::NotStarted(text))
    }
}

/// Ollama's list of models.
#[derive(Deserialize)]
struct Tags {
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
}

/// The answer in a message of a language model.
fn said(content: &Value, reason: Option<&str>, question: &ModelInput) -> Result<ModelOutput, Failure> {
    if reason == Some("length") {
        return Err(Failure::Unreadable("it was cut off at its longest".to_owned()));
    }
    match content {
        Value::String(text) => extract::answer_in(text, question),
        Value::Null => Err(Failure::Empty),
        _ => Err(Failure::Unreadable("the message is no text".to_owned())),
    }
}

/// The answer of a decision model: one of the candidates, or that it is unsure.
fn chosen(value: &Value, question: &ModelInput) -> Result<ModelOutput, Failure> {
    let answer = &value["answers"][QUESTION];
    let Some(choice) = answer["choice"].as_str() else {
        return Err(Failure::Schema("answers.d.choice is missing".to_owned()));
    };
    let stays = question.baseline.target == question.running.candidate;
    let (word, target) = if choice == UNSURE {
        (Word::Retry, None)
    } else if choice == question.baseline.target {
        (Word::Proceed, None)
    } else if choice == question.running.candidate {
        (if stays { Word::Proceed } else { Word::Hold }, None)
    } else {
        (Word::Switch, Some(choice))
    };
    let text =
        json!({"decision": word.name(), "target": target, "confidence": answer["confidence"]}).to_string();
    ModelOutput::parse(&text, question, Binding::Implied)
}

/// What a server says is wrong, in any of the forms in use, cleaned.
fn fault(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let error = &value["error"];
    let said = [&error["message"], error, &value["message"], &value["detail"]];
    let said = said.into_iter().find_map(Value::as_str).unwrap_or(text);
    output::clean(said)
}

#[cfg(test)]
mod tests;
