//! A chain on its way from its reset to its first job: the list of its board, the questions in it, and what is done about
//! a line that loses some of both.
//!
//! On a line that shows nothing wrong the chips are told what the list says and no more. Ids that are missing, too many or
//! damaged are asked for again; addresses that did not arrive are all given anew; and as soon as anything was wrong, what
//! is left is said three times (DECISIONS.md, "Chips are told again what a bad line may have lost").

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::super::bring_up::{Action, LineSpeed, Question, RESET_BAUD, assignment, program, thrice};
use super::super::decoder::LineCounts;
use super::super::frame::{Frame, Recipient};
use super::super::pll::AFTER_RESET;
use super::super::register::{ROLLABLE, Register};
use super::hashing::Hashing;
use super::{Chain, ChainEvent, ChainFault, State, Told};

/// How long ids may take. Source: ESP-Miner `asic_common.c`, `count_asic_chips`.
const IDS_WITHIN: Duration = Duration::from_secs(1);
/// Wait for ids too many once all are there, and for more of them on a line that damages some. Chips answer in one go.
const IDS_BEYOND: Duration = Duration::from_millis(100);
/// How long they may take when they are asked again, beyond their time on the line: a late one has come by then.
const IDS_AGAIN: Duration = Duration::from_millis(200);
/// Time for a command to leave and for chips to change their speed; Bitmain's firmware waits so long.
const SPEED_SETTLES: Duration = Duration::from_millis(60);
/// How often the same is asked. Of four chips all ids come through a line that flips one byte in a hundred 6 times in 10.
const MOST_QUESTIONS: u32 = 4;
/// How often all addresses are given. Those of four chips arrive 3 times in 4 on such a line.
const MOST_ASSIGNMENTS: u32 = 6;
/// How often the chips are told to change the speed of the line, where it is the line that fails.
const MOST_SPEED_CHANGES: u32 = 3;

/// What is left to do, and what went wrong so far.
#[derive(Debug)]
pub(super) struct ComingUp {
    rest: VecDeque<Action>,
    doing: Doing,
    /// What had been wrong on the line when this began.
    before: LineCounts,
    tries: Tries,
}

/// How often something was tried in vain since the last that worked.
#[derive(Debug, Default)]
struct Tries {
    questions: u32,
    assignments: u32,
    speed_changes: u32,
    /// Whether anything was wrong since the reset: all writes are said three times from then on.
    is_careful: bool,
}

#[derive(Debug)]
enum Doing {
    Waiting { until: Instant },
    Asking(Inquiry),
}

/// A question and the answers to it.
#[derive(Debug)]
struct Inquiry {
    question: Question,
    ids: Vec<Id>,
    /// Those that came when it was asked before, one a list.
    earlier: Vec<Vec<Id>>,
    until: Instant,
    give_up_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Id {
    chip: u16,
    address: u8,
}

impl ComingUp {
    pub(super) fn until(&self) -> Instant {
        match &self.doing {
            Doing::Waiting { until } | Doing::Asking(Inquiry { until, .. }) => *until,
        }
    }

    /// An id that came over the line.
    pub(super) fn take_id(&mut self, value: u32, address: u8) {
        if let Doing::Asking(Inquiry { ids, .. }) = &mut self.doing
            // More than any chain has need not be kept.
            && ids.len() <= 2 * usize::from(u8::MAX)
        {
            ids.push(Id { chip: (value >> 16) as u16, address });
        }
    }

    fn wait(&mut self, until: Instant) {
        self.doing = Doing::Waiting { until };
    }
}

impl Inquiry {
    /// Holds the answers against a chain of these chips with these addresses, which are sorted.
    fn judge(&self, chip: u16, addresses: &[u8]) -> Result<(), ChainFault> {
        let (found, expected) = (self.ids.len(), addresses.len());
        if let Some(index) = self.ids.iter().position(|id| id.chip != chip) {
            return Err(ChainFault::WrongChip { index, id: self.ids[index].chip, expected: chip });
        }
        if self.question != Question::HowMany && self.addresses().is_some_and(|got| got == addresses) {
            return Ok(());
        }
        match self.question {
            Question::Speed(baud) if found != expected => Err(ChainFault::Speed { baud, found, expected }),
            _ if found < expected => Err(ChainFault::Missing { found, expected }),
            _ if found > expected => Err(ChainFault::TooMany { found, expected }),
            Question::HowMany => Ok(()),
            Question::Addresses | Question::Speed(_) => {
                let mut got: Vec<_> = self.ids.iter().map(|id| id.address).collect();
                got.sort_unstable();
                Err(ChainFault::Addresses { got, expected: addresses.to_vec() })
            }
        }
    }

    /// All addresses that answered this time or earlier, sorted; `None` when one answered twice at once.
    fn addresses(&self) -> Option<Vec<u8>> {
        let mut all = BTreeSet::new();
        for ids in self.earlier.iter().chain([&self.ids]) {
            let addresses: BTreeSet<_> = ids.iter().map(|id| id.address).collect();
            if addresses.len() < ids.len() {
                return None;
            }
            all.extend(addresses);
        }
        Some(all.into_iter().collect())
    }

    /// Whether chips have addresses that none was given: asking again does not make that right.
    fn shows_wrong_addresses(&self, given: &[u8]) -> bool {
        self.question == Question::Addresses
            && self.addresses().is_none_or(|got| got.iter().any(|address| !given.contains(address)))
    }
}

impl Tries {
    /// From the first thing that was wrong on, what is left is said three times.
    fn be_careful(&mut self, rest: &mut VecDeque<Action>) {
        if !std::mem::replace(&mut self.is_careful, true) {
            *rest = thrice(rest.drain(..)).into();
        }
    }
}

impl Chain {
    pub(super) fn begin_bring_up(&mut self, now: Instant) {
        self.line.restart(RESET_BAUD);
        // No target is harder than none at all: the ticket follows the hash rate until there is a job.
        let ticket = self.board.first_ticket.choose(self.expected_rate(), &[0; 32]);
        self.told = Told { frequency: AFTER_RESET, ticket, ticket_at: now, version_mask: ROLLABLE };
        let actions = program(self.board.list, &self.board.addresses, self.board.frequency, ticket);
        let mut rest = VecDeque::from(actions.expect("the frequency was checked when it was set"));
        rest.extend(self.board.speed.into_iter().flat_map(change_of_speed));
        let (before, doing) = (self.line.counts(), Doing::Waiting { until: now });
        self.state = State::ComingUp(ComingUp { rest, doing, before, tries: Tries::default() });
    }

    /// Bytes have come: whether more are waited for depends on how many ids were among them and how the line is.
    pub(super) fn heard(&mut self, now: Instant) {
        let expected = self.board.addresses.len();
        let counts = self.line.counts();
        match &mut self.state {
            State::ComingUp(ComingUp { doing: Doing::Asking(inquiry), before, .. }) => {
                if inquiry.ids.len() == expected {
                    inquiry.until = inquiry.until.min(now + IDS_BEYOND);
                } else if counts != *before {
                    inquiry.until = inquiry.give_up_at.min(now + IDS_BEYOND);
                }
            }
            State::Hashing(Hashing { probation: Some(probation), .. }) => probation.hurry(counts, now),
            _ => {}
        }
    }

    /// Does what is due.
    pub(super) fn come_up(&mut self, now: Instant) {
        let State::ComingUp(coming_up) = &mut self.state else { return };
        let done = std::mem::replace(&mut coming_up.doing, Doing::Waiting { until: now });
        if let Doing::Asking(inquiry) = done {
            return self.conclude(inquiry, now);
        }
        let before = coming_up.before;
        match coming_up.rest.pop_front() {
            Some(action) => self.act(action, now),
            None => self.begin_hashing(before, now),
        }
    }

    /// Does an action of the list.
    fn act(&mut self, action: Action, now: Instant) {
        match action {
            Action::Send(frame, wait) => {
                self.line.send(&frame, now);
                let until = now.max(self.line.free_at()) + wait;
                self.coming_up(|coming_up| coming_up.wait(until));
            }
            Action::AtFrequency(frequency) => self.told.frequency = frequency,
            Action::Ask(question) => self.ask(question, Vec::new(), now),
            Action::HostSpeed(baud) => {
                self.line.restart(baud);
                self.events.push_back(ChainEvent::HostSpeed(baud));
                self.coming_up(|coming_up| coming_up.wait(now + SPEED_SETTLES));
            }
        }
    }

    fn coming_up(&mut self, act: impl FnOnce(&mut ComingUp)) {
        if let State::ComingUp(coming_up) = &mut self.state {
            act(coming_up);
        }
    }

    fn ask(&mut self, question: Question, earlier: Vec<Vec<Id>>, now: Instant) {
        let ask = Frame::Read { to: Recipient::All, register: Register::CHIP_ID };
        self.line.send(&ask, now);
        let answers = self.board.addresses.len() * self.board.list.chip.answer_size().bytes();
        let patience = if earlier.is_empty() { IDS_WITHIN } else { IDS_AGAIN + self.line.time_of(answers) };
        let until = self.line.free_at() + patience;
        let inquiry = Inquiry { question, ids: Vec::new(), earlier, until, give_up_at: until };
        self.coming_up(|coming_up| coming_up.doing = Doing::Asking(inquiry));
    }

    /// Goes on when the answers fit; else asks again, gives all addresses anew, goes back to the first speed, or fails.
    fn conclude(&mut self, mut inquiry: Inquiry, now: Instant) {
        let counts = self.line.counts();
        let addresses = &self.board.addresses;
        let State::ComingUp(ComingUp { rest, before, tries, .. }) = &mut self.state else { return };
        let is_damaged = counts != *before;
        let judged = inquiry.judge(self.board.list.chip.id, addresses);
        if is_damaged || judged.is_err() {
            tries.be_careful(rest);
        }
        let Err(fault) = judged else {
            tries.questions = 0;
            return;
        };
        tries.questions += 1;
        if tries.questions < MOST_QUESTIONS && !inquiry.shows_wrong_addresses(addresses) {
            inquiry.earlier.push(std::mem::take(&mut inquiry.ids));
            return self.ask(inquiry.question, inquiry.earlier, now);
        }
        tries.questions = 0;
        match inquiry.question {
            // How many chips there are shows again when they have addresses.
            Question::HowMany if is_damaged && matches!(fault, ChainFault::Missing { .. }) => {}
            Question::Addresses if tries.assignments + 1 < MOST_ASSIGNMENTS => {
                tries.assignments += 1;
                put_first(rest, assignment(self.board.list, addresses));
            }
            Question::Speed(baud) if baud != RESET_BAUD => {
                tries.speed_changes += 1;
                let is_last = !is_damaged || tries.speed_changes == MOST_SPEED_CHANGES;
                let again = self.board.speed.filter(|_| !is_last);
                put_first(rest, again.into_iter().flat_map(change_of_speed));
                let slow = Question::Speed(RESET_BAUD);
                put_first(rest, [Action::HostSpeed(RESET_BAUD), Action::Ask(slow)]);
                if is_last {
                    // If the chips did change theirs, they are reset soon and stay slow from then on.
                    self.board.speed = None;
                    let (found, expected) = (inquiry.ids.len(), addresses.len());
                    self.fault(format!(
                        "{found} of {expected} chips answer at {baud} baud: the line stays at {RESET_BAUD}"
                    ));
                }
            }
            _ => self.fail(fault, now),
        }
    }
}

fn put_first(
    rest: &mut VecDeque<Action>,
    actions: impl IntoIterator<Item = Action, IntoIter: DoubleEndedIterator>,
) {
    actions.into_iter().rev().for_each(|action| rest.push_front(action));
}

/// The chips first, then the host, then whether they hear each other.
fn change_of_speed(LineSpeed { baud, register, value }: LineSpeed) -> [Action; 3] {
    let write = Frame::Write { to: Recipient::All, register, value };
    [Action::Send(write, SPEED_SETTLES), Action::HostSpeed(baud), Action::Ask(Question::Speed(baud))]
}
