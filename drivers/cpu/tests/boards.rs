mod heat;

use std::{
    collections::BTreeSet,
    num::NonZeroUsize,
    thread,
    time::{Duration, Instant},
};

use core_affinity::CoreId;
use tokio::sync::mpsc::error::TryRecvError;

use super::{
    super::{
        CpuError, CpuOptions,
        choice::{self, Ranking},
        guard::{self, GuardOptions},
        kernel::{KERNELS, Kernel, SCALAR},
        open,
        sensors::Sensors,
        settle,
        sha256::meets_target,
        space,
    },
    double_sha256, supported,
};
use crate::{BoardEvent, BoardHandle, ChipJob, ChipJobId};

/// Far more than any event takes; only a board that never sends it gets here.
const PATIENCE: Duration = Duration::from_mins(1);
/// Rounds of a measurement of time, of which one has to be good.
const ROUNDS: usize = 4;

fn options(threads: usize) -> CpuOptions {
    CpuOptions {
        threads: NonZeroUsize::new(threads).unwrap(),
        pin: false,
        duty_percent: 100,
        kernel: None,
        guard: GuardOptions::default(),
    }
}

/// A board with the system's sensors.
fn start(
    options: &CpuOptions,
    ranking: Ranking,
    faults: Vec<String>,
    nonces: u64,
) -> Result<BoardHandle, CpuError> {
    super::super::start(options, ranking, faults, nonces, (Sensors::of_system(), guard::LOOK_EVERY))
}

/// The ranking of these kernels on one thread.
fn ranking(kernels: &[Kernel]) -> Ranking {
    choice::rank(kernels, NonZeroUsize::MIN).unwrap()
}

/// A board whose headers have only this many nonces, with the fastest kernel.
fn board_with(options: &CpuOptions, nonces: u64) -> BoardHandle {
    let kernels: Vec<_> = supported().copied().collect();
    start(options, ranking(&kernels), vec![], nonces).unwrap()
}

/// A job of which one hash in 2^`bits` is a nonce.
fn job(id: u64, bits: u32) -> ChipJob {
    let mut target = [0xff; 32];
    target[28..].copy_from_slice(&u32::MAX.checked_shr(bits).unwrap_or(0).to_le_bytes());
    ChipJob {
        id: ChipJobId(id),
        version: 0x2000_0000,
        prev_hash: std::array::from_fn(|i| i as u8),
        merkle_root: [id as u8; 32],
        ntime: 1_700_000_000,
        nbits: 0x1702_1a8a,
        version_mask: 0x1fff_e000,
        target,
    }
}

/// Plain double SHA-256 of a job's header.
fn hash(job: &ChipJob, version: u32, nonce: u32) -> [u8; 32] {
    let mut bytes = version.to_le_bytes().to_vec();
    bytes.extend(job.prev_hash);
    bytes.extend(job.merkle_root);
    bytes.extend(job.ntime.to_le_bytes());
    bytes.extend(job.nbits.to_le_bytes());
    let words = std::array::from_fn(|i| u32::from_be_bytes(bytes[4 * i..4 * i + 4].try_into().unwrap()));
    double_sha256(&words, nonce)
}

/// The next event, or `None` when the board has ended.
fn next_event(board: &mut BoardHandle) -> Option<BoardEvent> {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        match board.events.try_recv() {
            Ok(event) => return Some(event),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => assert!(Instant::now() < give_up_at, "the board is silent"),
        }
        thread::sleep(Duration::from_micros(100));
    }
}

/// Reads events until one is wanted, and returns what was made of it.
fn wait_for<T>(board: &mut BoardHandle, mut wanted: impl FnMut(BoardEvent) -> Option<T>) -> T {
    loop {
        if let Some(found) = wanted(next_event(board).expect("the board has not been stopped")) {
            return found;
        }
    }
}

fn started(wanted: u64) -> impl FnMut(BoardEvent) -> Option<Instant> {
    move |event| match event {
        BoardEvent::Started { job, at } if job == ChipJobId(wanted) => Some(at),
        _ => None,
    }
}

/// Stops the board and returns what it still says.
fn stop(mut board: BoardHandle) -> Vec<BoardEvent> {
    drop(std::mem::replace(&mut board.job, tokio::sync::watch::channel(None).0));
    std::iter::from_fn(|| next_event(&mut board)).collect()
}

fn sum_of_hashes(events: &[BoardEvent]) -> u64 {
    events.iter().map(|event| if let BoardEvent::Hashes(hashes) = event { *hashes } else { 0 }).sum()
}

#[test]
fn nonces_of_an_easy_target_verify_and_roll_only_the_bits_of_the_mask() {
    let mut board = open(&options(2)).unwrap();
    assert!(board.expected_rate > 0.0);
    let job = job(1, 16);
    board.job.send_replace(Some(job.clone()));
    for _ in 0..10 {
        let (nonce, version) = wait_for(&mut board, |event| match event {
            BoardEvent::Nonce { job: ChipJobId(1), nonce, version } => Some((nonce, version)),
            BoardEvent::Fault(fault) => panic!("{fault}"),
            _ => None,
        });
        assert_eq!(version & !job.version_mask, job.version);
        assert!(meets_target(&hash(&job, version, nonce), &job.target));
    }
}

/// Tries all headers of a job on a board with so many nonces, and returns what the board said.
///
/// Panics if it did not find each nonce that plain double SHA-256 finds, once, or did not count its hashes.
fn sweep(job: &ChipJob, ranking: &Ranking, threads: usize, nonces: u32) -> Vec<BoardEvent> {
    let versions = 1 << job.version_mask.count_ones();
    let headers = versions * u64::from(nonces);
    let expected: BTreeSet<_> = (0..versions)
        .map(|index| space::rolled_version(job.version, job.version_mask, index))
        .flat_map(|version| (0..nonces).map(move |nonce| (version, nonce)))
        .filter(|&(version, nonce)| meets_target(&hash(job, version, nonce), &job.target))
        .collect();
    let mut board = start(&options(threads), ranking.clone(), vec![], u64::from(nonces)).unwrap();
    board.job.send_replace(Some(job.clone()));
    let mut hashes = 0;
    let mut events = Vec::new();
    while hashes < headers {
        let event = next_event(&mut board).unwrap();
        hashes += sum_of_hashes(std::slice::from_ref(&event));
        events.push(event);
    }
    events.extend(stop(board));
    let kernel = ranking.for_mask(job.version_mask).kernel.name;
    assert_eq!(sum_of_hashes(&events), headers, "{threads} threads of {kernel}");
    let found: Vec<_> = events
        .iter()
        .filter_map(|event| match *event {
            BoardEvent::Nonce { nonce, version, .. } => Some((version, nonce)),
            _ => None,
        })
        .collect();
    assert_eq!(found.len(), expected.len(), "{threads} threads of {kernel}");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected, "{threads} threads of {kernel}");
    events
}

#[test]
fn every_kernel_tries_every_header_once_whether_the_mask_has_enough_bits_for_it_or_not() {
    for kernel in supported() {
        let ranking = Ranking::of([(*kernel, vec![2e6]), (SCALAR, vec![1e6])]);
        for (version_mask, nonces) in
            [(0, 1000), (0x0200_0000, 500), (0x0000_e000, 150), (0x0015_6000, 70), (0x0101_e200, 31)]
        {
            let job = ChipJob { version_mask, ..job(1, 5) };
            assert!(ranking.for_mask(version_mask).kernel.midstates <= 1 << version_mask.count_ones());
            sweep(&job, &ranking, 2, nonces);
        }
    }
}

#[test]
fn every_header_of_a_small_space_is_tried_once_by_any_number_of_threads() {
    let few_hits = (ChipJob { version_mask: 0x0000_6000, ..job(1, 5) }, 1000);
    // One batch has more hits than a kernel can hold, and all together fit into the channel.
    let only_hits = (ChipJob { version_mask: 0, ..job(1, 0) }, 150);
    let ranking = ranking(&supported().copied().collect::<Vec<_>>());
    for (job, nonces) in [few_hits, only_hits] {
        for threads in [1, 2, 3, 7] {
            let events = sweep(&job, &ranking, threads, nonces);
            let count = |wanted: fn(&BoardEvent) -> bool| events.iter().filter(|event| wanted(event)).count();
            assert!(count(|event| matches!(event, BoardEvent::Nonce { .. })) > 0);
            assert_eq!(count(|event| matches!(event, BoardEvent::JobEnding(ChipJobId(1)))), 1);
            assert_eq!(count(|event| matches!(event, BoardEvent::Started { job: ChipJobId(1), .. })), 1);
        }
    }
}

#[test]
fn a_hash_above_the_target_in_its_lowest_byte_only_is_no_nonce() {
    let job = ChipJob { version_mask: 0, ..job(1, 0) };
    let hashes = (0..100).map(|nonce| hash(&job, job.version, nonce));
    let edge = hashes.max_by_key(|hash| (hash[0] > 0, hash[31])).unwrap();
    let mut just_below = edge;
    just_below[0] -= 1;
    let ranking = ranking(&[SCALAR]);
    for (target, is_a_nonce) in [(edge, true), (just_below, false)] {
        let events = sweep(&ChipJob { target, ..job.clone() }, &ranking, 1, 100);
        let found = events.iter().any(|event| match *event {
            BoardEvent::Nonce { nonce, version, .. } => hash(&job, version, nonce) == edge,
            _ => false,
        });
        assert_eq!(found, is_a_nonce);
    }
}

#[test]
fn a_job_with_much_space_left_is_not_said_to_end() {
    let mut board = open(&options(1)).unwrap();
    board.job.send_replace(Some(job(1, 40)));
    let first = wait_for(&mut board, |event| match event {
        BoardEvent::JobEnding(_) | BoardEvent::Hashes(_) => Some(event),
        _ => None,
    });
    assert!(matches!(first, BoardEvent::Hashes(_)));
}

/// The lower quartiles of the times from a new job to its first hash: of jobs after idle time, and of jobs that come
/// right after another, at a low duty cycle in the pause.
fn take_up(duty_percent: u8) -> [Duration; 2] {
    let mut board = board_with(&CpuOptions { duty_percent, ..options(1) }, space::ALL_NONCES);
    let mut latencies = [vec![], vec![]];
    for id in (1..40).step_by(2) {
        for (job, latencies) in [job(id, 40), job(id + 1, 40)].into_iter().zip(&mut latencies) {
            let id = job.id.0;
            let sent = Instant::now();
            board.job.send_replace(Some(job));
            latencies.push(wait_for(&mut board, started(id)).duration_since(sent));
        }
        board.job.send_replace(None);
    }
    latencies.map(|mut latencies| {
        latencies.sort_unstable();
        println!("{latencies:?} at {duty_percent} %");
        latencies[latencies.len() / 4]
    })
}

#[test]
fn a_new_job_is_taken_up_at_once_also_in_the_pause_of_the_duty_cycle_and_after_an_idle_time() {
    // At 1 % the first batch is more than the thread's part of a period, so the next job comes in a pause of 100 ms.
    for (duty_percent, limit) in [(100, 1), (1, 2)] {
        // Where other programs have all cores, one of some rounds is undisturbed.
        let is_quick =
            |_| take_up(duty_percent).iter().all(|quartile| *quartile < Duration::from_millis(limit));
        assert!((0..ROUNDS).any(is_quick), "{duty_percent} %");
    }
}

/// Hashes of two boards, each with one thread on the same core, in the same time.
fn hashes_side_by_side(duty_percent: [u8; 2], time: Duration) -> [u64; 2] {
    let boards = duty_percent.map(|duty_percent| {
        let options = CpuOptions { duty_percent, pin: true, ..options(1) };
        let mut board = board_with(&options, space::ALL_NONCES);
        board.job.send_replace(Some(job(1, 40)));
        wait_for(&mut board, started(1));
        board
    });
    thread::sleep(time);
    boards.map(|board| sum_of_hashes(&stop(board)))
}

#[test]
fn a_board_at_one_percent_hashes_much_less_than_one_at_full_duty_beside_it() {
    // On one core both get the same share of what other programs leave, and a hundredth is less than all but the least.
    assert!((0..ROUNDS).any(|_| {
        let [part, full] = hashes_side_by_side([1, 100], Duration::from_millis(500));
        println!("{part} and {full} hashes");
        part > 0 && part * 10 < full * 4
    }));
}

#[test]
fn the_end_of_a_job_is_told_while_much_of_it_is_still_to_be_hashed() {
    let kernels: Vec<_> = supported().copied().collect();
    let ranking = ranking(&kernels);
    let two_seconds = (ranking.for_mask(0).rate * 2.0) as u64;
    let mut board = start(&options(1), ranking, vec![], two_seconds).unwrap();
    board.job.send_replace(Some(ChipJob { version_mask: 0, ..job(1, 40) }));
    let mut hashes = 0;
    let mut before_ending = None;
    wait_for(&mut board, |event| {
        if event == BoardEvent::JobEnding(ChipJobId(1)) {
            before_ending = Some(hashes);
        }
        hashes += sum_of_hashes(&[event]);
        (hashes == two_seconds).then_some(())
    });
    let before_ending = before_ending.expect("the end is told before the last hashes");
    // A second at the pace of the thread, which is a part of the measured one where other programs hash too.
    assert!(two_seconds - before_ending > two_seconds / 20, "{before_ending} of {two_seconds}");
}

#[test]
fn the_expected_rate_is_that_of_all_threads_in_their_part_of_the_time() {
    let ranking = Ranking::of([(SCALAR, vec![1000.0])]);
    let board = start(&CpuOptions { duty_percent: 25, ..options(2) }, ranking, vec![], 10).unwrap();
    assert_eq!((board.expected_rate, board.detail.as_str()), (500.0, "2 × scalar"));
}

#[test]
fn a_job_whose_space_is_used_up_is_not_hashed_again_and_the_next_one_is() {
    let mut board = board_with(&options(2), 100);
    for id in 1..5 {
        board.job.send_replace(Some(ChipJob { version_mask: 0, ..job(id, 40) }));
        let mut hashes = 0;
        wait_for(&mut board, |event| {
            hashes += sum_of_hashes(&[event]);
            (hashes == 100).then_some(())
        });
    }
    assert_eq!(sum_of_hashes(&stop(board)), 0);
}

#[test]
fn an_idle_board_hashes_nothing_and_ends_when_it_is_stopped() {
    let board = open(&options(2)).unwrap();
    assert_eq!(stop(board), []);
}

#[test]
fn a_stopped_board_says_how_much_it_hashed_and_ends() {
    let mut board = open(&options(2)).unwrap();
    board.job.send_replace(Some(job(1, 40)));
    wait_for(&mut board, started(1));
    assert!(sum_of_hashes(&stop(board)) > 0);
}

#[test]
fn a_full_channel_holds_up_no_hashing_and_every_lost_nonce_is_counted() {
    let mut board = open(&options(2)).unwrap();
    board.job.send_replace(Some(job(1, 0))); // each hash is a nonce
    let mut events = Vec::new();
    while !events.iter().any(|event| matches!(event, BoardEvent::Overflow(_))) {
        events.extend(next_event(&mut board));
        thread::sleep(Duration::from_millis(1)); // hundreds of hashes of each thread for one event read
    }
    events.extend(stop(board));
    let nonces = events.iter().filter(|event| matches!(event, BoardEvent::Nonce { .. })).count() as u64;
    let lost: u64 =
        events.iter().map(|event| if let BoardEvent::Overflow(lost) = event { *lost } else { 0 }).sum();
    assert_eq!(sum_of_hashes(&events), nonces + lost);
}

#[test]
fn every_kernel_can_be_forced_and_an_unknown_one_is_refused_with_the_names_there_are() {
    for kernel in supported() {
        let mut board = open(&CpuOptions { kernel: Some(kernel.name.to_owned()), ..options(1) }).unwrap();
        let job = job(1, 14);
        board.job.send_replace(Some(job.clone()));
        let (nonce, version) = wait_for(&mut board, |event| match event {
            BoardEvent::Nonce { nonce, version, .. } => Some((nonce, version)),
            _ => None,
        });
        assert!(meets_target(&hash(&job, version, nonce), &job.target));
    }
    let error = open(&CpuOptions { kernel: Some("abacus".to_owned()), ..options(1) }).unwrap_err();
    let known = KERNELS.iter().map(|kernel| kernel.name).collect::<Vec<_>>().join(", ");
    assert_eq!(error.to_string(), format!("no kernel \"abacus\", there are: {known}"));
}

#[test]
fn a_duty_cycle_beyond_its_range_is_refused() {
    for percent in [0, 101, 255] {
        let error = open(&CpuOptions { duty_percent: percent, ..options(1) }).unwrap_err();
        assert!(matches!(error, CpuError::Duty { percent: refused } if refused == percent));
    }
}

#[test]
fn faults_of_the_self_test_are_the_first_events() {
    let kernels: Vec<_> = supported().copied().collect();
    let fault = "kernel x is wrong".to_owned();
    let board = start(&options(3), ranking(&kernels), vec![fault.clone()], space::ALL_NONCES).unwrap();
    assert_eq!(stop(board), [BoardEvent::Fault(fault)]);
}

#[test]
fn a_thread_that_cannot_be_pinned_says_so_and_goes_on() {
    let faults = thread::spawn(|| settle(3, Some(CoreId { id: 1023 }))).join().unwrap();
    assert_eq!(faults, ["thread cpu-3 is not pinned: the system refuses its core"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_hashing_thread_has_the_lowest_priority_and_its_core() {
    let core = core_affinity::get_core_ids().unwrap()[0];
    let (faults, nice, cores) = thread::spawn(move || {
        let faults = settle(0, Some(core));
        (faults, super::nice(), core_affinity::get_core_ids().unwrap())
    })
    .join()
    .unwrap();
    assert_eq!(faults, [""; 0]);
    assert_eq!(nice, 19);
    assert_eq!(cores, [core]);
}

/// The cores of this process's thread of that name, as Linux lists them.
#[cfg(target_os = "linux")]
fn cores_of(name: &str) -> Option<String> {
    std::fs::read_dir("/proc/self/task").unwrap().find_map(|task| {
        let status = std::fs::read_to_string(task.unwrap().path().join("status")).ok()?;
        let field = |wanted: &str| {
            status.lines().find_map(|line| line.strip_prefix(wanted)).map(|value| value.trim().to_owned())
        };
        (field("Name:")? == name).then(|| field("Cpus_allowed_list:"))?
    })
}

#[cfg(target_os = "linux")]
#[test]
fn threads_are_named_by_their_number_and_stay_on_one_core_if_pinning_is_asked_for() {
    let all = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    // No other test has so many threads, so the name of the last one is in no other board.
    for (threads, pin) in [(21, true), (22, false)] {
        let mut board = board_with(&CpuOptions { pin, ..options(threads) }, 1000);
        board.job.send_replace(Some(ChipJob { version_mask: 0, ..job(1, 40) }));
        let mut hashes = 0;
        wait_for(&mut board, |event| {
            hashes += sum_of_hashes(&[event]);
            (hashes == 1000).then_some(())
        });
        let cores = cores_of(&format!("cpu-{}", threads - 1)).expect("a thread of that name");
        if pin {
            assert!(cores.parse::<usize>().is_ok(), "{cores} is not one core");
        } else {
            assert!(all.contains(&format!("Cpus_allowed_list:\t{cores}\n")), "{cores}");
        }
        stop(board);
    }
}
