use super::*;
use crate::work::{Job, vectors};

const ALICE: &str = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
const BOB: &str = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2";
/// Alice on a test network.
const CAROL: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
const DAVE: &str = "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy";

fn watch(expected: &[&str], user: &str) -> PayoutWatch {
    let addresses = expected.iter().map(|text| address_of(text).unwrap()).collect();
    PayoutWatch::new(&PayoutTerms { addresses, min_share: 0.98 }, user)
}

/// A coinbase that pays so many thousandths of a coin.
fn pays(outputs: &[(u64, &str)]) -> Coinbase {
    let mut coinbase = Job::from(&vectors::stratum()[10]).coinbase; // its scriptSig holds no extranonce2
    let mut bytes = coinbase.coinb2[..9].to_vec();
    bytes.push(outputs.len() as u8);
    for (amount, to) in outputs {
        let script = address_of(to).unwrap().script_pubkey();
        bytes.extend((amount * 100_000).to_le_bytes());
        bytes.push(script.len() as u8);
        bytes.extend(script.as_bytes());
    }
    bytes.extend([0; 4]);
    coinbase.coinb2 = bytes.into();
    coinbase
}

fn broken() -> Coinbase {
    Coinbase { coinb2: [1, 2, 3].into(), ..pays(&[]) }
}

#[test]
fn a_job_that_pays_enough_to_those_named_passes_and_is_told_once_a_connection() {
    let mut watch = watch(&[BOB, ALICE], "worker");
    let job = pays(&[(3000, ALICE), (47, DAVE)]);
    let said = "pays 98.45 % of 3.04700000 BTC to 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2 and \
                bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4; a job with less than 98 % is refused";
    assert_eq!(watch.judge(&job), Ok(Some(Remark::Pays(said.into()))));
    assert_eq!(watch.judge(&job), Ok(None));
    watch.connected();
    assert!(matches!(watch.judge(&job), Ok(Some(Remark::Pays(_)))));
}

#[test]
fn a_job_that_pays_others_is_refused_with_both_sides_in_the_words() {
    let mut watch = watch(&[ALICE], "worker");
    let error = watch.judge(&pays(&[(3000, BOB), (62, ALICE)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "quarantined: its job pays 3 BTC to 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2, 0.06200000 BTC to \
         bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4, so 2.02 % to bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4, who \
         shall get 98 %"
    );
    let error = watch.judge(&broken()).unwrap_err().to_string();
    assert!(error.starts_with("quarantined: nobody can tell whether its job pays bc1qw508d6"), "{error}");
    assert!(error.contains("its coinbase is no transaction"), "{error}");
}

#[test]
fn addresses_are_shown_as_the_network_of_those_named_spells_them() {
    let mut watch = watch(&[CAROL], "worker");
    let error = watch.judge(&pays(&[(1, BOB)])).unwrap_err().to_string();
    assert!(error.contains(" BTC to mrS8eVKXguwufwvsVe9GtgGb7fif9UQeAu, so 0 % to tb1q"), "{error}");
}

#[test]
fn a_pool_that_pays_the_user_at_first_has_to_pay_the_user_ever_after() {
    for user in [ALICE.to_owned(), format!("{ALICE}.rig"), format!("{ALICE}_1"), format!("{ALICE}+500.rig")] {
        let mut watch = watch(&[], &user);
        assert!(
            matches!(watch.judge(&pays(&[(990, ALICE), (10, BOB)])), Ok(Some(Remark::Pays(_)))),
            "{user}"
        );
        watch.connected();
        let swapped = watch.judge(&pays(&[(970, ALICE), (30, BOB)]));
        assert!(matches!(swapped, Err(PayoutError::Elsewhere { .. })), "{user}");
        assert!(matches!(watch.judge(&broken()), Err(PayoutError::Unreadable { .. })), "{user}");
    }
}

#[test]
fn a_pool_that_pays_others_at_first_is_an_ordinary_one_and_may_pay_the_user_later() {
    let mut watch = watch(&[], ALICE);
    assert_eq!(watch.judge(&pays(&[(1000, BOB)])), Ok(None));
    assert_eq!(watch.judge(&pays(&[(1, BOB), (999, ALICE)])), Ok(None));
    assert_eq!(watch.judge(&pays(&[(1000, BOB)])), Ok(None));
}

#[test]
fn an_ordinary_pool_that_pays_nobody_known_is_told_once_a_connection_and_mined() {
    let mut watch = watch(&[], "worker");
    assert_eq!(watch.judge(&pays(&[(1000, BOB)])), Ok(None));
    let said = "its job pays nobody whom its jobs paid before, but 1 BTC to \
                bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    assert_eq!(watch.judge(&pays(&[(1000, ALICE)])), Ok(Some(Remark::Complaint(said.into()))));
    assert_eq!(watch.judge(&pays(&[(1000, ALICE), (1, BOB)])), Ok(None), "both are known now");
    assert_eq!(watch.judge(&pays(&[(1000, CAROL)])), Ok(None), "the same program as before");
    watch.connected();
    assert!(
        matches!(watch.judge(&pays(&[(1000, DAVE)])), Ok(Some(Remark::Complaint(_)))),
        "known over connections"
    );
}

#[test]
fn a_coinbase_that_cannot_be_read_is_mined_for_an_ordinary_pool_and_told_once() {
    let mut watch = watch(&[], ALICE);
    let Ok(Some(Remark::Complaint(text))) = watch.judge(&broken()) else { panic!("no complaint") };
    assert!(text.starts_with("whom its job pays cannot be told: its coinbase is no transaction"), "{text}");
    assert_eq!(watch.judge(&broken()), Ok(None));
}

#[test]
fn a_coinbase_that_cannot_be_read_does_not_hide_that_payouts_are_swapped_later() {
    let mut watch = watch(&[], "worker");
    watch.judge(&pays(&[(3000, BOB)])).unwrap();
    assert!(matches!(watch.judge(&broken()), Ok(Some(Remark::Complaint(_)))));
    let swapped = watch.judge(&pays(&[(3000, DAVE)]));
    assert!(
        matches!(swapped, Ok(Some(Remark::Complaint(text))) if text.contains("nobody whom its jobs paid before"))
    );
}

#[test]
fn the_scripts_of_a_pool_that_pays_a_thousand_miners_take_bounded_memory() {
    let mut scripts = BTreeSet::new();
    let job = Payouts::of(&pays(&[(1000, BOB), (1, ALICE)])).unwrap();
    scripts.extend((0..MAX_SCRIPTS as u64).map(|n| <[u8; 32]>::from(Sha256::digest(n.to_le_bytes()))));
    assert!(known(&mut scripts, Ok(job.clone()), Network::Bitcoin).is_some());
    assert_eq!(scripts.len(), 2, "those of the newest job");
    assert!(known(&mut scripts, Ok(job), Network::Bitcoin).is_none());
}

#[test]
fn percents_are_never_more_than_the_part() {
    for (part, shown) in
        [(1.0, "100"), (0.07, "7"), (0.98, "98"), (0.979_999, "97.99"), (0.0, "0"), (0.985, "98.5")]
    {
        assert_eq!(percent(part).to_string(), shown);
    }
}
