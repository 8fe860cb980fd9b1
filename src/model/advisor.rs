//! One model behind a queue of length one: questions, answers and time in; what to ask and what it advises out. Nobody
//! waits for it.

use std::time::{Duration, Instant};

use super::breaker::Breaker;
use super::cache::{Cache, CacheKey, UpstreamKey};
use super::failure::Failure;
use super::input::ModelInput;
use super::output::{ModelOutput, Word};
use super::statistics::{Figures, Statistics};

/// How often in a day the breaker may open before a model loses its say.
const MOST_OPENINGS: usize = 5;

/// What a model may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Nothing: it is not even asked.
    Off,
    /// It is asked, and what it says is counted and told, never applied.
    #[default]
    Shadow,
    /// It may amend what the envelope lets it.
    Advise,
}

impl Mode {
    /// Its name in settings and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Advise => "advise",
        }
    }
}

/// Why a model that could advise is a shadow now, until it is started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Demotion {
    /// It fails too often.
    #[error("its breaker has opened five times within a day")]
    Breaker,
    /// What it costs is enough.
    #[error("the day's budget of regret is spent")]
    Regret,
}

/// A question with what only we know of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// What the model is told.
    pub input: ModelInput,
    /// The upstreams behind its candidates.
    pub upstreams: Vec<UpstreamKey>,
    /// Parent of the running job.
    pub parent: [u8; 32],
    /// Hard events there had been when it was made.
    pub moment: u64,
    /// Soft ones.
    pub soft_moment: u64,
}

/// What a model says, in our names.
#[derive(Debug, Clone, PartialEq)]
pub struct Advised {
    /// Its word.
    pub word: Word,
    /// Whom it prefers.
    pub target: Option<UpstreamKey>,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
    /// Until when it holds.
    pub until: Instant,
    /// Hard events there had been when it was asked.
    pub moment: u64,
    /// Soft ones.
    pub soft_moment: u64,
    /// Whether the cache spoke.
    pub is_cached: bool,
    /// Whether it may be applied: it is more than a shadow.
    pub may_apply: bool,
    /// Why, for people.
    pub reason: String,
}

/// A question on its way.
#[derive(Debug)]
struct Asked {
    id: u64,
    question: Question,
    key: CacheKey,
}

/// One model.
#[derive(Debug)]
pub struct Advisor {
    mode: Mode,
    demoted: Option<Demotion>,
    /// Back end, model and version of the prompt.
    who: String,
    deadline: Duration,
    breaker: Breaker,
    cache: Cache,
    statistics: Statistics,
    waiting: Option<(Question, CacheKey)>,
    asked: Option<Asked>,
    quiet_until: Option<Instant>,
    next_id: u64,
}

impl Advisor {
    /// A model named `who`, whose answers are of use for `deadline`.
    pub fn new(mode: Mode, who: String, deadline: Duration) -> Self {
        Self {
            mode,
            demoted: None,
            who,
            deadline,
            breaker: Breaker::default(),
            cache: Cache::default(),
            statistics: Statistics::default(),
            waiting: None,
            asked: None,
            quiet_until: None,
            next_id: 0,
        }
    }

    /// A new question. It replaces one that waits. Answers at once when the cache knows. One that tells that the day's
    /// budget of regret is spent ends its say.
    pub fn ask(&mut self, question: Question, now: Instant) -> Option<Advised> {
        if question.input.budget.regret_left <= 0.0 {
            self.demote(Demotion::Regret);
        }
        if self.mode == Mode::Off || self.quiet_until.is_some_and(|until| now < until) {
            return None;
        }
        let key = CacheKey::new(&self.who, &question.input, &question.parent, &question.upstreams);
        if let Some(answer) = self.cache.find(&key, &question.upstreams, now) {
            return Some(self.advised(&answer, &question, true, now));
        }
        self.waiting = Some((question, key));
        None
    }

    /// The question to ask now, with the number that its answer has to carry; `None` while another one is on its way,
    /// the breaker is open, or there is none.
    pub fn poll_question(&mut self, now: Instant) -> Option<(u64, &ModelInput)> {
        if self.asked.is_some() || self.waiting.is_none() {
            return None;
        }
        if !self.breaker.allows(now) {
            self.waiting = None;
            return None;
        }
        let (question, key) = self.waiting.take()?;
        self.next_id += 1;
        self.statistics.called();
        let asked = self.asked.insert(Asked { id: self.next_id, question, key });
        Some((asked.id, &asked.question.input))
    }

    /// The answer to a question of that number, or why there is none, after `retries` attempts beyond the first. An
    /// answer to a question that was given up is dropped.
    pub fn handle_answer(
        &mut self,
        id: u64,
        answer: Result<ModelOutput, Failure>,
        took: Duration,
        retries: u32,
        now: Instant,
    ) -> Option<Advised> {
        let asked = self.asked.take_if(|asked| asked.id == id)?;
        self.statistics.retried(retries);
        let answer =
            answer.and_then(|answer| if took > self.deadline { Err(Failure::Late) } else { Ok(answer) });
        match answer {
            Ok(answer) => {
                self.breaker.succeeded();
                let Asked { question, key, .. } = asked;
                let agrees = answer.agrees_with(&question.input);
                self.statistics.answered(answer.word, agrees, took);
                if answer.word == Word::Retry {
                    self.quiet_until = Some(now + answer.retry_after);
                } else {
                    self.cache.keep(key, &answer, &question.upstreams, now);
                }
                Some(self.advised(&answer, &question, false, now))
            }
            Err(Failure::Cancelled) => {
                self.statistics.failed(&Failure::Cancelled);
                self.breaker.withdrawn(now);
                None
            }
            Err(failure) => {
                self.statistics.failed(&failure);
                self.breaker.failed(now);
                if self.breaker.opened_today(now) >= MOST_OPENINGS {
                    self.demote(Demotion::Breaker);
                }
                None
            }
        }
    }

    /// Something happened that no model has a say in: what was asked before is out of date. Returns the number of the
    /// question that may be given up.
    pub fn hard_event(&mut self, now: Instant) -> Option<u64> {
        self.cache.clear();
        self.waiting = None;
        let asked = self.asked.take()?;
        self.statistics.failed(&Failure::Cancelled);
        self.breaker.withdrawn(now);
        Some(asked.id)
    }

    fn demote(&mut self, reason: Demotion) {
        if self.mode == Mode::Advise {
            (self.mode, self.demoted) = (Mode::Shadow, Some(reason));
        }
    }

    /// What it may do.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Why it may no more than a shadow, if it could.
    pub fn demoted(&self) -> Option<Demotion> {
        self.demoted
    }

    /// How long an answer may take.
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// What it has done.
    pub fn figures(&self) -> Figures {
        self.statistics.figures(self.cache.hits(), self.breaker.opened(), self.breaker.state())
    }

    fn advised(&self, answer: &ModelOutput, question: &Question, is_cached: bool, now: Instant) -> Advised {
        Advised {
            word: answer.word,
            target: answer.target.and_then(|place| question.upstreams.get(place).copied()),
            confidence: answer.confidence,
            until: now + answer.valid_for,
            moment: question.moment,
            soft_moment: question.soft_moment,
            is_cached,
            may_apply: self.mode == Mode::Advise,
            reason: answer.reason.clone(),
        }
    }
}

impl ModelOutput {
    /// Whether it comes down to what mathematics does by itself.
    pub fn agrees_with(&self, question: &ModelInput) -> bool {
        let baseline = question.place(&question.baseline.target);
        match self.word {
            Word::Proceed | Word::Retry => true,
            Word::Switch => self.target == baseline,
            Word::Hold => baseline == question.running_place(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::health;
    use super::*;

    fn question(moment: u64) -> Question {
        Question {
            input: health::question(2000),
            upstreams: vec![3, 5],
            parent: [1; 32],
            moment,
            soft_moment: 0,
        }
    }

    /// A question of another state.
    fn other(nth: u32) -> Question {
        let mut question = question(0);
        question.input.candidates[0].shares_10m = 1 << (nth % 30);
        question.input.candidates[1].shares_10m = 1 << (nth / 30);
        question
    }

    fn switch() -> ModelOutput {
        ModelOutput {
            word: Word::Hold,
            target: Some(1),
            confidence: 0.8,
            valid_for: Duration::from_secs(60),
            retry_after: Duration::from_secs(30),
            reason: "because".to_owned(),
        }
    }

    const TOOK: Duration = Duration::from_millis(7);

    fn advisor(mode: Mode) -> Advisor {
        Advisor::new(mode, "test".to_owned(), Duration::from_secs(2))
    }

    #[test]
    fn the_newest_question_is_asked_and_its_answer_comes_in_our_names() {
        let now = Instant::now();
        let mut advisor = advisor(Mode::Advise);
        assert_eq!(advisor.ask(other(1), now), None);
        assert_eq!(advisor.ask(question(4), now), None);
        let (id, input) = advisor.poll_question(now).unwrap();
        assert_eq!(*input, question(4).input);
        assert_eq!(advisor.poll_question(now), None, "one at a time");
        let advised = advisor.handle_answer(id, Ok(switch()), TOOK, 1, now).unwrap();
        assert_eq!((advised.word, advised.target, advised.moment), (Word::Hold, Some(5), 4));
        assert!(advised.may_apply && !advised.is_cached);
        let cached = advisor.ask(question(4), now).unwrap();
        assert!(cached.is_cached && cached.target == Some(5));
        let figures = advisor.figures();
        assert_eq!((figures.calls, figures.answered, figures.retries, figures.cache_hits), (1, 1, 1, 1));
        assert_eq!(figures.agreement, Some(0.0));
    }

    #[test]
    fn a_shadow_has_no_say_and_one_that_is_off_is_not_asked() {
        let now = Instant::now();
        let mut shadow = advisor(Mode::Shadow);
        shadow.ask(question(0), now);
        let (id, _) = shadow.poll_question(now).unwrap();
        assert!(!shadow.handle_answer(id, Ok(switch()), TOOK, 0, now).unwrap().may_apply);
        let mut off = advisor(Mode::Off);
        off.ask(question(0), now);
        assert_eq!(off.poll_question(now), None);
    }

    #[test]
    fn a_hard_event_voids_what_was_asked_and_what_was_answered() {
        let now = Instant::now();
        let mut advisor = advisor(Mode::Advise);
        advisor.ask(question(0), now);
        let (id, _) = advisor.poll_question(now).unwrap();
        assert_eq!(advisor.hard_event(now), Some(id));
        assert_eq!(advisor.handle_answer(id, Ok(switch()), TOOK, 0, now), None);
        advisor.ask(question(1), now);
        let (id, _) = advisor.poll_question(now).unwrap();
        advisor.handle_answer(id, Ok(switch()), TOOK, 0, now).unwrap();
        advisor.hard_event(now);
        assert_eq!(advisor.ask(question(1), now), None, "nothing is left in the cache");
    }

    #[test]
    fn a_late_answer_counts_as_a_failure_and_five_of_them_are_enough() {
        let now = Instant::now();
        let mut advisor = advisor(Mode::Advise);
        for nth in 0..5 {
            advisor.ask(other(nth), now);
            let (id, _) = advisor.poll_question(now).unwrap();
            assert_eq!(advisor.handle_answer(id, Ok(switch()), Duration::from_secs(3), 0, now), None);
        }
        advisor.ask(other(9), now);
        assert_eq!(advisor.poll_question(now), None, "the breaker is open, and nothing queues");
        let figures = advisor.figures();
        assert_eq!((figures.late, figures.breaker_openings, figures.breaker_open), (5, 1, true));
    }

    #[test]
    fn a_model_whose_breaker_opens_five_times_a_day_loses_its_say() {
        let mut now = Instant::now();
        let mut advisor = advisor(Mode::Advise);
        let mut nth = 0;
        while advisor.figures().breaker_openings < 5 {
            assert_eq!(advisor.mode(), Mode::Advise);
            nth += 1;
            now += Duration::from_secs(100);
            advisor.ask(other(nth), now);
            let Some((id, _)) = advisor.poll_question(now) else { continue };
            advisor.handle_answer(id, Err(Failure::Late), TOOK, 0, now);
        }
        assert_eq!((advisor.mode(), advisor.demoted()), (Mode::Shadow, Some(Demotion::Breaker)));
    }

    #[test]
    fn a_model_whose_regret_is_spent_loses_its_say_and_is_asked_all_the_same() {
        let now = Instant::now();
        let mut advisor = advisor(Mode::Advise);
        advisor.ask(question(0), now);
        let (id, _) = advisor.poll_question(now).unwrap();
        assert!(advisor.handle_answer(id, Ok(switch()), TOOK, 0, now).unwrap().may_apply);
        let mut spent = other(1);
        spent.input.budget.regret_left = 0.0;
        advisor.ask(spent, now);
        assert_eq!((advisor.mode(), advisor.demoted()), (Mode::Shadow, Some(Demotion::Regret)));
        let (id, _) = advisor.poll_question(now).unwrap();
        assert!(!advisor.handle_answer(id, Ok(switch()), TOOK, 0, now).unwrap().may_apply);
        let cached = advisor.ask(question(0), now).unwrap();
        assert!(cached.is_cached && !cached.may_apply, "not what it said before either");
        let mut shadow = self::advisor(Mode::Shadow);
        let mut spent = question(0);
        spent.input.budget.regret_left = 0.0;
        shadow.ask(spent, now);
        assert_eq!(shadow.demoted(), None, "it had nothing to lose");
    }

    #[test]
    fn no_opinion_means_silence_for_as_long_as_it_asks() {
        let now = Instant::now();
        let mut advisor = advisor(Mode::Advise);
        advisor.ask(question(0), now);
        let (id, _) = advisor.poll_question(now).unwrap();
        let retry = ModelOutput { word: Word::Retry, target: None, ..switch() };
        advisor.handle_answer(id, Ok(retry), TOOK, 0, now).unwrap();
        advisor.ask(question(0), now + Duration::from_secs(29));
        assert_eq!(advisor.poll_question(now + Duration::from_secs(29)), None);
        advisor.ask(question(0), now + Duration::from_secs(30));
        assert!(advisor.poll_question(now + Duration::from_secs(30)).is_some());
    }
}
