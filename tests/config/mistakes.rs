//! Every kind of mistake with the exact words, all of them at once, and no secret in any.

use proptest::prelude::*;
use signalcore::config::{Flags, Origin, PoolFlags, Secret};

use crate::setup::Setup;

impl Setup {
    /// One line for each mistake, without the folder's name.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let error = self.load().expect_err("the layers are without a mistake");
        error.problems.iter().map(|problem| self.relative(&problem.to_string())).collect()
    }
}

fn mistakes(text: &str) -> Vec<String> {
    Setup::with_file(text).mistakes()
}

/// The one mistake in a file.
fn mistake(text: &str) -> String {
    let mut all = mistakes(text);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

#[test]
fn all_mistakes_of_all_layers_come_at_once_in_order() {
    let setup = Setup::with_file("[stop]\nshares = 0\n[cpu]\nthreds = 2\npin = 1\n[[pool]]\nuser = 'u'")
        .beside("conf.d/a.toml", "[log]\nlevel = ''")
        .variable("SIGNALCORE_CPU_THREADS", "many")
        .flags(|flags| flags.seconds = Some("0".into()));
    let places: Vec<_> =
        setup.mistakes().iter().map(|m| m.split(": ").take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        places,
        [
            "config.toml:2 stop.shares",
            "config.toml:4 cpu",
            "config.toml:5 cpu.pin",
            "config.toml:6 pool.url",
            "conf.d/a.toml:2 log.level",
            "environment SIGNALCORE_CPU_THREADS cpu.threads",
            "flag --seconds stop.seconds",
        ]
    );
}

#[test]
fn broken_syntax_is_named_by_line_and_column_every_time() {
    assert_eq!(
        mistakes("[cpu]\nthreads = = 4\npin = true\n[log\n"),
        [
            "config.toml:2: found invalid TOML at column 11 (extra `=`, expected nothing), expected a line of TOML; \
             correct this line or the one before it",
            "config.toml:4: found invalid TOML at column 5 (unclosed table, expected `]`), expected a line of TOML; \
             correct this line or the one before it",
        ]
    );
}

#[test]
fn a_name_given_twice_is_a_mistake_at_the_second_place() {
    assert_eq!(
        mistake("[cpu]\npin = true\npin = false"),
        "config.toml:3: found invalid TOML at column 1 (duplicate key), expected a line of TOML; \
         correct this line or the one before it"
    );
}

#[test]
fn unknown_names_get_the_nearest_known_one() {
    let known = "one of threads, pin, duty_percent, kernel, max_temperature, pause_on_battery";
    assert_eq!(
        mistake("[cpu]\nthreds = 4"),
        format!("config.toml:2: cpu: found the unknown name threds, expected {known}; did you mean threads?")
    );
    assert_eq!(
        mistake("[cpu]\nzzz = 4"),
        format!("config.toml:2: cpu: found the unknown name zzz, expected {known}; delete it")
    );
    assert_eq!(
        mistake("\n[startum]\n"),
        "config.toml:2: found the unknown name startum, expected one of device, pool, node, board, cpu, upstreams, \
         validation, stratum, solo, model, state, log, stop; \
         did you mean stratum?"
    );
    assert_eq!(
        mistake("[[pool]]\nurl = 'a'\npass = 'hunter2'"),
        "config.toml:3: pool: found the unknown name pass, expected one of url, user, password, password_file, \
         tls_ca, tls_pin, proxy, priority, weight, expect_payout, min_share, scheme, fee_percent, \
         payout_factor, version_rolling, extranonce_subscribe; did you mean password?"
    );
}

#[test]
fn a_name_of_another_table_is_pointed_there() {
    assert!(mistake("threads = 4").ends_with("; did you mean cpu.threads?"));
    assert!(mistake("user = 'alice'").ends_with("; did you mean pool.user?"));
    assert!(mistake("[log]\nshares = 1").ends_with("; did you mean stop.shares?"));
}

#[test]
fn a_variable_that_is_almost_ours_is_a_mistake() {
    assert_eq!(
        Setup::with_file("").variable("SIGNALCORE_CPU_THREAD", "2").mistakes(),
        ["environment SIGNALCORE_CPU_THREAD: found an unknown variable, expected SIGNALCORE_CPU_THREADS; \
          did you mean SIGNALCORE_CPU_THREADS? Otherwise unset it"]
    );
}

#[test]
fn a_value_of_the_wrong_type_tells_type_and_remedy() {
    assert_eq!(
        mistake("[cpu]\nthreads = true"),
        "config.toml:2: cpu.threads: found true, expected \"auto\", \"off\" or a whole number from 0 to 1024; \
         correct it, or delete the line for the default \"auto\""
    );
    assert_eq!(
        mistake("[cpu]\nduty_percent = \"50\""),
        "config.toml:2: cpu.duty_percent: found \"50\", expected a whole number from 1 to 100; \
         write it without quotes"
    );
    assert_eq!(
        mistake("[cpu]\nkernel = 5"),
        "config.toml:2: cpu.kernel: found 5, expected a text without control characters; put it in quotes"
    );
    assert_eq!(
        mistake("device = \"auto\""),
        "config.toml:1: device: found \"auto\", expected a list of one or more texts; write [\"auto\"]"
    );
    assert_eq!(
        mistake("log.file = 1979-05-27"),
        "config.toml:1: log.file: found a date or time, expected a path; correct it or delete the line"
    );
}

#[test]
fn a_table_of_the_wrong_shape_shows_how_to_write_it() {
    assert_eq!(
        mistake("cpu = 4"),
        "config.toml:1: cpu: found a whole number, expected the table [cpu]; \
         write [cpu] on a line of its own and its settings below"
    );
    let remedy = "expected [[pool]] tables; write [[pool]] on a line of its own for each pool";
    assert_eq!(mistake("[pool]\nurl = 'a'"), format!("config.toml:1: pool: found a table, {remedy}"));
    assert_eq!(mistake("pool = ['u:hunter2@a']"), format!("config.toml:1: pool: found a text, {remedy}"));
}

#[test]
fn values_out_of_range_are_refused_at_both_ends() {
    let long = format!("''|'a b'|'\u{e4}'|'{}'", "a".repeat(65));
    let out_of_range = [
        ("cpu.threads", "-1|1025|1.0|'on'|99999999999999999999"),
        ("cpu.duty_percent", "0|101|-5"),
        ("upstreams.strategy", "''|'Failover'|'balance'|1"),
        ("upstreams.return_after", "-1|3601|0.5"),
        ("upstreams.rotate_minutes", "0|10081"),
        ("upstreams.hot_standbys", "-1|17|true"),
        ("upstreams.max_upstreams_per_day", "-1|1001|0.5|'none'"),
        ("upstreams.slow_answer", "4|601"),
        ("upstreams.review_hours", "-1|8785|0.5"),
        ("upstreams.frozen_tip", "29|7201"),
        ("validation.level", "-1|16001|0.5|true"),
        ("stratum.suggest_difficulty", "0|-1|nan|inf|-inf|1e999|'on'|true"),
        ("stratum.user_agent", &long),
        ("stratum.connect_timeout", "0|121|10.5|nan"),
        ("stratum.handshake_timeout", "0|121"),
        ("stratum.first_job_timeout", "0|601"),
        ("stratum.silence_timeout", "9|3601"),
        ("stratum.answer_timeout", "4|601"),
        ("stratum.reconnect_max", "0|3601"),
        ("log.level", "''"),
        ("log.file", "''"),
        ("stop.seconds", "0|0.0|-1|1e10|inf|nan"),
        ("stop.shares", "0|-1|1.5"),
        ("device", "[]|[1]|['']|[{spec=1}]|[{a='b'}]"),
    ];
    for (path, values) in out_of_range {
        for value in values.split('|') {
            let problem = mistake(&format!("\n{path} = {value}"));
            assert!(problem.starts_with(&format!("config.toml:2: {path}: found ")), "{problem}");
        }
    }
}

#[test]
fn the_terms_of_a_pool_have_ranges_too() {
    for (name, values) in [
        ("priority", "-1|1001|0.5|'1'"),
        ("weight", "0|1000001|1.5"),
        ("min_share", "0|0.0|-0.1|1.0001|nan|'all'"),
        ("expect_payout", "[]|['']|[1]|'1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2'"),
        ("version_rolling", "0|'no'"),
        ("scheme", "'props'|'PPS'|1"),
    ] {
        for value in values.split('|') {
            let problem = mistake(&format!("[[pool]]\nurl = 'a'\n{name} = {value}"));
            assert!(problem.starts_with(&format!("config.toml:3: pool.{name}: found ")), "{problem}");
        }
    }
}

#[test]
fn a_strategy_that_there_is_not_gets_those_that_there_are() {
    assert_eq!(
        mistake("upstreams.strategy = 'balance'"),
        "config.toml:1: upstreams.strategy: found \"balance\", expected \"failover\", \"load-balance\", \"quota\", \
         \"round-robin\", \"rotate\" or \"value\"; correct it, or delete the line for the default \"failover\""
    );
}

#[test]
fn an_address_that_is_none_is_named() {
    for address in [
        "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
        "alice",
        "ltc1qw508d6qejxtdg4y5r3zarvary0c5xw7kgmn4n9",
    ] {
        let good = "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2";
        assert_eq!(
            mistake(&format!("[[pool]]\nurl = 'a'\nexpect_payout = ['{good}', '{address}']")),
            format!(
                "config.toml:3: pool.expect_payout: found \"{address}\", expected a list of one or more addresses of \
                 Bitcoin; it is mistyped, cut or of another coin; copy it again from your wallet"
            )
        );
    }
}

#[test]
fn a_pool_that_stands_there_twice_is_a_mistake_at_the_second_place() {
    let said = "pool.url: found the same url and user as at";
    let remedy =
        "expected each pool once; delete one of the two, or give them different users to mine for both";
    let text = "[[pool]]\nurl = 'a'\nuser = 'u'\n[[pool]]\nurl = 'tcp://A:3333/'\nuser = 'u'\npassword = 'y'";
    assert_eq!(mistake(text), format!("config.toml:5: {said} config.toml:2, {remedy}"));
    let setup = Setup::with_file("").flags(|flags| {
        let pool = PoolFlags { url: "a".into(), ..PoolFlags::default() };
        flags.pools = vec![pool.clone(), pool];
    });
    assert_eq!(setup.mistakes(), [format!("flag --pool: {said} flag --pool, {remedy}")]);
}

#[test]
fn values_at_both_ends_of_a_range_are_taken() {
    let within = "upstreams.return_after = 3600\nupstreams.rotate_minutes = 10080\nupstreams.hot_standbys = 0\nupstreams.max_upstreams_per_day = 1000\n\
                  upstreams.slow_answer = 600\nupstreams.review_hours = 0\nupstreams.frozen_tip = 7200\nvalidation.level = 0\n\
                  cpu.threads = 1024\ncpu.duty_percent = 1\nstratum.connect_timeout = 120\n\
                  stratum.silence_timeout = 10\nstratum.suggest_difficulty = 1e-9\nstop.seconds = 1e9\n\
                  stop.shares = 9223372036854775807";
    Setup::with_file(within).loaded();
    for terms in
        ["priority = 0\nweight = 1\nmin_share = 1", "priority = 1000\nweight = 1000000\nmin_share = 1e-9"]
    {
        Setup::with_file(format!("[[pool]]\nurl = 'a'\n{terms}")).loaded();
    }
    Setup::with_file(format!("stratum.user_agent = '{}'", "a".repeat(64))).loaded();
}

#[test]
fn variables_and_flags_are_named_in_their_mistakes() {
    let setup = Setup::with_file("").variable("SIGNALCORE_CPU_PIN", "yes").flags(|flags| {
        flags.shares = Some("1e3".into());
        flags.suggest_difficulty = Some("NaN".into());
    });
    assert_eq!(
        setup.mistakes(),
        [
            "environment SIGNALCORE_CPU_PIN: cpu.pin: found \"yes\", expected true or false; \
             correct it or unset the variable",
            "flag --suggest-difficulty: stratum.suggest_difficulty: found \"NaN\", \
             expected \"auto\", \"off\" or a number above 0, at most 1e18; \
             correct it or leave the flag out",
            "flag --shares: stop.shares: found \"1e3\", expected a whole number above 0; \
             correct it or leave the flag out",
        ]
    );
}

#[test]
fn only_mistakes_of_flags_alone_are_mistakes_of_usage() {
    let bad_flag = |flags: &mut Flags| flags.shares = Some("x".into());
    assert!(Setup::with_file("").flags(bad_flag).load().unwrap_err().is_usage());
    assert!(!Setup::with_file("[stop]\nshares = 0").flags(bad_flag).load().unwrap_err().is_usage());
}

#[test]
fn a_long_value_is_cut() {
    let problem = mistake(&format!("cpu.threads = '{}'", "ä".repeat(1000)));
    assert!(problem.contains(&format!("found \"{}…, expected", "ä".repeat(79))), "{problem}");
}

#[test]
fn a_url_that_is_no_pool_says_why() {
    assert_eq!(
        mistake("[[pool]]\nurl = 'stratum+ssl://pool.example.com'"),
        "config.toml:2: pool.url: found \"stratum+ssl://pool.example.com\", expected \
         stratum+tcp://HOST:PORT, or stratum+ssl://HOST:PORT for TLS; \
         pools have no customary port for TLS; write the one the pool names, stratum+ssl://HOST:PORT"
    );
    assert_eq!(
        mistake("[[pool]]\nurl = 5"),
        "config.toml:2: pool.url: found 5, expected stratum+tcp://HOST:PORT, or stratum+ssl://HOST:PORT \
         for TLS; correct it or delete the line"
    );
}

#[test]
fn a_pool_needs_a_url_and_one_password_at_the_most() {
    assert_eq!(
        mistake("\n[[pool]]\nuser = 'alice'"),
        "config.toml:2: pool.url: found a pool without url, expected stratum+tcp://HOST:PORT, \
         or stratum+ssl://HOST:PORT for TLS; add a line url = \"stratum+tcp://HOST:PORT\" to this [[pool]]"
    );
    let setup = Setup::with_file("[[pool]]\nurl = 'a'\npassword_file = 'p'\npassword = 'hunter2'");
    assert_eq!(
        setup.beside("p", "p").mistakes(),
        ["config.toml:3: pool.password_file: found both password and password_file, expected one of them; \
          delete one of the two"]
    );
}

#[test]
fn a_proxy_that_is_none_says_why_and_is_not_repeated() {
    assert_eq!(
        mistake("[[pool]]\nurl = 'a'\nproxy = 'http://me:hunter2@h:8080'"),
        "config.toml:3: pool.proxy: found ***, expected socks5://HOST:PORT or \
         socks5://USER:PASSWORD@HOST:PORT; only SOCKS5 proxies can be used, no http; \
         most others offer it too, as Tor and ssh -D do"
    );
    assert!(mistake("[[pool]]\nurl = 'socks4:h:1|a'").ends_with(
        "; what stands before the | is not taken as a proxy: only SOCKS5 proxies can be used, no socks4; \
             most others offer it too, as Tor and ssh -D do"
    ));
}

#[test]
fn settings_for_tls_need_a_url_for_tls() {
    let pin = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(
        mistake(&format!("[[pool]]\nurl = 'a'\ntls_pin = '{pin}'")),
        "config.toml:3: pool.tls_pin: found it beside a url in plain text, expected stratum+ssl://HOST:PORT; \
         write the pool's address for TLS as url, or delete this setting"
    );
    assert_eq!(
        mistake("[[pool]]\nurl = 'ssl://a:1'\ntls_pin = 'e3b0'"),
        "config.toml:3: pool.tls_pin: found \"e3b0\", expected the SHA-256 of a public key as 64 hex digits \
         or 44 characters of base64; correct it or delete the line"
    );
    let setup = Setup::with_file("[[pool]]\nurl = 'ssl://a:1'\ntls_ca = 'ca.pem'").beside("ca.pem", "none");
    assert_eq!(
        setup.mistakes(),
        ["config.toml:3: pool.tls_ca: found ca.pem has no certificate that can be read, \
          expected one or more in PEM; it must have lines BEGIN CERTIFICATE and END CERTIFICATE"]
    );
}

#[test]
fn what_the_url_says_already_is_not_said_twice() {
    assert_eq!(
        mistake("[[pool]]\nurl = 'socks5:h:1|a'\nproxy = 'socks5://h:2'"),
        "config.toml:3: pool.proxy: found it beside the proxy in the url, expected one of them; \
         delete one of the two"
    );
    assert_eq!(
        mistake("[[pool]]\nurl = 'a#xnsub'\nextranonce_subscribe = false"),
        "config.toml:3: pool.extranonce_subscribe: found it beside #xnsub in the url, expected one of them; \
         delete one of the two"
    );
}

#[test]
fn credentials_in_the_environment_need_the_url_of_their_pool_there() {
    assert_eq!(
        Setup::with_file("[[pool]]\nurl = 'a'").variable("SIGNALCORE_POOL_PASSWORD", "hunter2").mistakes(),
        ["environment SIGNALCORE_POOL_PASSWORD: pool: found credentials without a pool, expected \
          SIGNALCORE_POOL_URL beside them; give SIGNALCORE_POOL_URL too; \
          credentials are never sent to a pool they were not given for"]
    );
}

#[test]
fn a_named_file_that_is_missing_is_a_mistake() {
    let setup = Setup::with_file("").flags(|flags| flags.config = Some("/no/such.toml".into()));
    assert_eq!(
        setup.mistakes(),
        ["flag --config: found /no/such.toml cannot be read (No such file or directory (os error 2)), \
          expected a readable file; correct the path or the file's permissions"]
    );
    let setup = Setup::with_file("").variable("SIGNALCORE_CONFIG", "/no/such.toml");
    assert!(
        setup.mistakes()[0].starts_with("environment SIGNALCORE_CONFIG: found /no/such.toml cannot be read")
    );
}

#[test]
fn a_file_past_a_mebibyte_or_without_utf_8_is_refused() {
    assert_eq!(
        mistake(&"#".repeat((1 << 20) + 1)),
        "config.toml:1: found config.toml is too large, expected at most 1048576 bytes; \
         check that it is the right file"
    );
    Setup::with_file("#".repeat(1 << 20)).loaded();
    assert_eq!(
        Setup::with_file(b"[cpu]\n# \xff").mistakes(),
        ["config.toml:1: found config.toml is not UTF-8, expected text in UTF-8; save it as UTF-8"]
    );
}

#[test]
fn a_password_file_must_be_there_and_hold_a_password() {
    let setup = Setup::with_file("[[pool]]\nurl = 'a'\npassword_file = 'p'");
    assert_eq!(
        setup.mistakes(),
        [
            "config.toml:3: pool.password_file: found p cannot be read (No such file or directory (os error 2)), \
          expected a readable file; correct the path or the file's permissions"
        ]
    );
    assert_eq!(
        setup.beside("p", "\nhunter2").mistakes(),
        ["config.toml:3: pool.password_file: found p has an empty first line, expected the password there; \
          write it into the first line"]
    );
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_utf_8_is_a_mistake() {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let value = OsString::from_vec(b"\xff".to_vec());
    let environment = [("SIGNALCORE_LOG".to_owned(), value)].into_iter().collect();
    let error = signalcore::config::load(&Flags::default(), &environment).unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment SIGNALCORE_LOG: log.level: found a value that is not UTF-8, expected text in UTF-8; \
         correct it or unset it"
    );
}

#[test]
fn no_mistake_repeats_a_secret() {
    for text in [
        "[[pool]]\nurl = 'a'\npassword = ['hunter2']",
        "[[pool]]\nurl = 'a'\npassword = 'hunter2\u{7}'",
        "[[pool]]\nurl = 'a'\npassword = \"hunter2\\u0007\"",
        "[[pool]]\nurl = 'a'\npasswrod = 'hunter2'",
        "[[pool]]\nurl = 'a'\npassword = 'hunter2",
        "[[pool]]\nurl = 'a'\npassword = hunter2",
        "[[pool]]\nurl = 'a'\npassword 'hunter2'",
        "[[pool]]\nurl = 'a'\npassword = 'hunter2' 'hunter2'",
        "[[pool]]\nurl = 'stratum+tcp://me:hunter2@a'",
        "[[pool]]\nurl = 'http://me:hunter2@127.0.0.1:8332'",
        "[[pool]]\nurl = 'me:hunter2 @a'",
        "[[pool]]\nurl = 'socks5:me:hunter2@h:1|a'",
        "[[pool]]\nurl = 'a'\nproxy = 'socks5://me:hunter2@'",
        "[[pool]]\nurl = 'a'\nproxy = 'me:hunter2'",
        "[[pool]]\nurl = 'a'\nproxy = ['socks5://me:hunter2@h:1']",
        "pool = 'hunter2'",
        "pool = [{password = 'hunter2'}]",
        "pool.password = 'hunter2'",
    ] {
        let setup = Setup::with_file(text);
        let error = setup.load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let setup = Setup::with_file("").flags(|flags| {
        let password = Some(Secret::new("hunter2\n"));
        let proxy = Some(Secret::new("socks5://me:hunter2"));
        flags.pools = vec![PoolFlags { url: "me:hunter2@a".into(), password, proxy, ..PoolFlags::default() }];
    });
    let error = setup.load().unwrap_err();
    assert_eq!(error.problems.len(), 3);
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

/// Lines that are almost a configuration.
fn almost_toml() -> impl Strategy<Value = String> {
    let name = "(cpu|pool|node|board|chips|frequency|kind|port|solo|stratum|log|stop|device|threads|pin|url|user|password|cookie|zmq|payout|file|shares|[a-z]{1,6}|\"\u{e4}\")";
    let value = "(true|-?[0-9]{1,20}|[0-9]\\.[0-9]e[0-9]{1,3}|nan|'[^']{0,8}'|\"[^\"\\\\]{0,8}\"|\\[[0-9',a]{0,6}\\]|\\{a=1\\}|.{0,6})";
    let line =
        format!("(\\[{name}\\]|\\[\\[{name}\\]\\]|{name} ?= ?{value}|{name}\\.{name} = {value}|.{{0,12}})");
    let line = prop::string::string_regex(&line).unwrap();
    prop::collection::vec(line, 0..12).prop_map(|lines| lines.join("\n"))
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic_and_every_mistake_has_a_line_of_the_file(text in almost_toml()) {
        if let Err(error) = Setup::with_file(&text).load() {
            prop_assert!(!error.problems.is_empty());
            for problem in error.problems {
                let is_line = |line| (1..=text.matches('\n').count() + 1).contains(&line);
                prop_assert!(matches!(problem.origin, Origin::File { line, .. } if is_line(line)), "{}", problem);
            }
        }
    }
}
