//! Which layer wins, where each value comes from, and what stays hidden.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::setup::Setup;
use signalcore::config::{
    Config, Environment, Flags, Loaded, PoolLists, Secret, Strategy, Suggestion, Threads, pair_pools,
    show_json, show_toml,
};

const TWO_POOLS: &str = "
[[pool]]
url = 'first.example.com'
user = 'alice'
password = 'hunter2'

[[pool]]
url = 'tcp://second.example.com:443'
";

fn urls(loaded: &Loaded) -> Vec<String> {
    loaded.config.pools.iter().map(|pool| pool.url.to_string()).collect()
}

fn flag_pools(urls: &[&str], users: &[&str]) -> impl FnOnce(&mut Flags) {
    let texts = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
    let (urls, users) = (texts(urls), texts(users));
    let pools = pair_pools(&PoolLists { urls, users, ..PoolLists::default() }).unwrap();
    |flags| flags.pools = pools
}

#[test]
fn without_any_layer_every_value_is_the_documented_default() {
    let config = Setup::with_file("").loaded().config;
    assert_eq!(config, Config::default());
    let Config {
        pools,
        nodes,
        solo,
        cpu,
        devices,
        boards,
        upstreams,
        validation,
        stratum,
        model: _,
        state,
        log,
        stop,
    } = config;
    assert_eq!(validation.level, 16_000);
    assert_eq!((state.remember, state.file, state.journal), (true, None, None));
    assert_eq!((pools, nodes, solo.payouts), (vec![], vec![], vec![]));
    assert_eq!((solo.coinbase_tag.as_str(), solo.priority, solo.weight), ("/signalcore/", None, 1));
    let templates = solo.templates;
    assert_eq!(
        (templates.check_proposal, templates.empty_first, templates.require_peers),
        (true, false, true)
    );
    assert_eq!((templates.refresh.as_secs(), templates.fee_gain), (30, 10_000));
    assert_eq!(templates.keep_without_node, Duration::from_mins(10));
    assert_eq!((upstreams.strategy, upstreams.hot_standbys), (Strategy::Failover, 1));
    assert_eq!(upstreams.max_upstreams_per_day, 0);
    assert_eq!((&upstreams.record_decisions, upstreams.review_hours), (&None, 168));
    let times = [upstreams.return_after, upstreams.rotate, upstreams.slow_answer, upstreams.frozen_tip];
    assert_eq!(times.map(|time| time.as_secs()), [120, 3600, 30, 120]);
    assert_eq!((devices, boards), (vec!["auto".to_owned()], vec![]));
    assert_eq!(
        (cpu.threads, cpu.pin, cpu.duty_percent, cpu.kernel.as_str()),
        (Threads::Auto, false, 100, "")
    );
    assert_eq!((cpu.max_temperature, cpu.pause_on_battery), (0, false));
    assert_eq!(stratum.user_agent, format!("signalcore/{}", env!("CARGO_PKG_VERSION")));
    assert_eq!(
        (stratum.suggest_difficulty, stratum.version_rolling, stratum.follow_redirect),
        (Suggestion::Auto, true, false)
    );
    let limits = stratum.timeouts;
    let seconds = [limits.connect, limits.handshake, limits.first_job, limits.silence, limits.answer];
    assert_eq!(seconds.map(|limit| limit.as_secs()), [10, 15, 60, 180, 120]);
    assert_eq!(limits.reconnect_max, Duration::from_mins(1));
    assert_eq!((log.file, log.level.as_str()), (None, "info"));
    assert_eq!((stop.seconds, stop.shares, stop.blocks), (None, None, None));
}

/// Every setting but those of nodes, solo mining and boards, none at its default.
const EVERY_FIELD: &str = "device = ['/dev/ttyACM0', 'cpu:auto']
        [[pool]]
        url = '[::1]:1'
        user = 'alice.1'
        password = 'p'
        proxy = 'socks5://me:word@[::1]:9050'
        priority = 3
        weight = 40
        expect_payout = ['1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2', 'tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx']
        min_share = 0.5
        version_rolling = true
        extranonce_subscribe = false
        [[pool]]
        url = 'ssl://tls.example.com:2'
        tls_ca = 'ca.pem'
        tls_pin = '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
        priority = 4
        [cpu]
        threads = 4
        pin = true
        duty_percent = 50
        kernel = 'scalar'
        max_temperature = 85
        pause_on_battery = true
        [upstreams]
        strategy = 'quota'
        return_after = 0
        rotate_minutes = 7
        hot_standbys = 16
        max_upstreams_per_day = 2
        record_decisions = '/tmp/decisions.jsonl'
        review_hours = 24
        slow_answer = 8
        frozen_tip = 39
        [validation]
        level = 4500
        [stratum]
        suggest_difficulty = 0.5
        user_agent = 'other/1'
        version_rolling = false
        follow_redirect = true
        connect_timeout = 1
        handshake_timeout = 2
        first_job_timeout = 3
        silence_timeout = 14
        answer_timeout = 5
        reconnect_max = 6
        [state]
        remember = false
        file = 'pools.json'
        journal = 'blocks.journal'
        [log]
        file = '/var/log/x'
        level = 'debug'
        [stop]
        seconds = 1.5
        shares = 7";

#[test]
fn a_file_reaches_every_field() {
    let setup = Setup::with_file(EVERY_FIELD);
    let authority = rcgen::generate_simple_self_signed(["an authority".to_owned()]).unwrap().cert;
    let setup = setup.beside("ca.pem", authority.pem());
    // Those of nodes and of solo mining are in nodes.rs, those of boards in boards.rs, those of a model in model.rs.
    let Config { pools, cpu, devices, upstreams, validation, stratum, state, log, stop, .. } =
        setup.loaded().config;
    assert_eq!(validation.level, 4500);
    assert_eq!((state.remember, state.file), (false, Some(setup.path("pools.json"))));
    assert_eq!(state.journal, Some(setup.path("blocks.journal")));
    assert_eq!(
        (pools[0].user.as_str(), &pools[0].password, pools[0].url.port()),
        ("alice.1", &Secret::new("p"), 1)
    );
    let (user, password) = pools[0].proxy.as_ref().unwrap().login().unwrap();
    assert_eq!((user, password), (&Secret::new("me"), &Secret::new("word")));
    let terms = pools.iter().map(|pool| &pool.terms).collect::<Vec<_>>();
    assert_eq!((terms[0].extranonce_subscribe, terms[1].extranonce_subscribe), (Some(false), None));
    assert_eq!((terms[0].version_rolling, terms[1].version_rolling), (Some(true), None));
    assert_eq!((terms[0].priority, terms[0].weight, terms[0].min_share), (3, 40, 0.5));
    assert_eq!((terms[1].priority, terms[1].weight, terms[1].min_share), (4, 1, 0.97));
    assert_eq!(terms[0].expect_payout.len(), 2);
    assert_eq!(terms[0].expect_payout[0].to_string(), "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2");
    assert_eq!(terms[1].expect_payout, []);
    assert_eq!((upstreams.strategy, upstreams.hot_standbys), (Strategy::Quota, 16));
    assert_eq!(upstreams.record_decisions, Some("/tmp/decisions.jsonl".into()));
    assert_eq!((upstreams.review_hours, upstreams.max_upstreams_per_day), (24, 2));
    let times = [upstreams.return_after, upstreams.rotate, upstreams.slow_answer, upstreams.frozen_tip];
    assert_eq!(times.map(|time| time.as_secs()), [0, 420, 8, 39]);
    assert_eq!(pools[1].tls.authorities, [authority.der().to_vec()]);
    assert!(pools[1].tls.pin.unwrap().to_string().starts_with("e3b0c44298fc1c14"));
    assert_eq!(devices, ["/dev/ttyACM0", "cpu:auto"]);
    assert_eq!(
        (cpu.threads, cpu.pin, cpu.duty_percent, cpu.kernel.as_str()),
        (Threads::Count(4), true, 50, "scalar")
    );
    assert_eq!((cpu.max_temperature, cpu.pause_on_battery), (85, true));
    assert_eq!(
        (stratum.suggest_difficulty, stratum.user_agent.as_str()),
        (Suggestion::Difficulty(0.5), "other/1")
    );
    assert_eq!((stratum.version_rolling, stratum.follow_redirect), (false, true));
    let limits = stratum.timeouts;
    let seconds = [limits.connect, limits.handshake, limits.first_job, limits.silence, limits.answer];
    assert_eq!(seconds.map(|limit| limit.as_secs()), [1, 2, 3, 14, 5]);
    assert_eq!(limits.reconnect_max, Duration::from_secs(6));
    assert_eq!((log.file.unwrap().to_str(), log.level.as_str()), (Some("/var/log/x"), "debug"));
    assert_eq!((stop.seconds, stop.shares), (Some(Duration::from_millis(1500)), Some(7)));
}

#[test]
fn flags_win_over_the_environment_which_wins_over_files_which_win_over_defaults() {
    let file = Setup::with_file("[cpu]\nthreads = 1\n[stop]\nshares = 1\nseconds = 1");
    let setup = file.beside("conf.d/10.toml", "[cpu]\nthreads = 2\n[stop]\nshares = 2\nseconds = 2");
    let setup = setup.variable("SIGNALCORE_CPU_THREADS", "3").variable("SIGNALCORE_STOP_SHARES", "3");
    let setup = setup.flags(|flags| flags.cpu_threads = Some("off".into()));
    let loaded = setup.loaded();
    assert_eq!(loaded.config.cpu.threads, Threads::Off);
    assert_eq!(loaded.config.stop.shares, Some(3));
    assert_eq!(loaded.config.stop.seconds, Some(Duration::from_secs(2)));
    let origin = |path| setup.relative(&loaded.origins.setting(path).to_string());
    assert_eq!(origin("cpu.threads"), "flag --cpu-threads");
    assert_eq!(origin("stop.shares"), "environment SIGNALCORE_STOP_SHARES");
    assert_eq!(origin("stop.seconds"), "conf.d/10.toml:5");
    assert_eq!(origin("cpu.pin"), "default");
}

#[test]
fn drop_ins_come_in_name_order_and_their_pools_after_those_before() {
    let setup = Setup::with_file("[[pool]]\nurl = 'a'\n[log]\nlevel = 'a'")
        .beside("conf.d/20.toml", "[[pool]]\nurl = 'c'\n[log]\nlevel = 'c'")
        .beside("conf.d/10.toml", "[[pool]]\nurl = 'b'\n[log]\nlevel = 'b'")
        .beside("conf.d/.hidden.toml", "no toml")
        .beside("conf.d/notes.txt", "no toml");
    let loaded = setup.loaded();
    assert_eq!(urls(&loaded), ["a", "b", "c"].map(|host| format!("stratum+tcp://{host}:3333")));
    assert_eq!(loaded.config.log.level, "c");
    assert_eq!(
        loaded.files,
        ["config.toml", "conf.d/10.toml", "conf.d/20.toml"].map(|name| setup.path(name))
    );
    assert_eq!(setup.relative(&loaded.origins.pool(1, "url").to_string()), "conf.d/10.toml:2");
}

#[test]
fn drop_ins_may_stand_alone() {
    let setup = Setup::with_file("").beside("conf.d/10.toml", "[stop]\nshares = 5");
    std::fs::remove_file(setup.path("config.toml")).unwrap();
    let loaded = setup.loaded();
    assert_eq!((loaded.config.stop.shares, loaded.files), (Some(5), vec![setup.path("conf.d/10.toml")]));
}

#[test]
fn the_named_file_comes_before_the_searched_ones_and_the_flag_before_the_variable() {
    let setup = Setup::with_file("[stop]\nshares = 1")
        .beside("by_variable/v.toml", "[stop]\nshares = 2")
        .beside("by_flag/f.toml", "[stop]\nshares = 3");
    assert_eq!(setup.loaded().config.stop.shares, Some(1));
    let variable = setup.path("by_variable/v.toml").to_str().unwrap().to_owned();
    let setup = setup.variable("SIGNALCORE_CONFIG", variable);
    assert_eq!(setup.loaded().config.stop.shares, Some(2));
    let flag = setup.path("by_flag/f.toml");
    let setup = setup.flags(|flags| flags.config = Some(flag.clone()));
    assert_eq!(setup.loaded().files, [flag]);
}

#[test]
fn a_searched_file_that_is_missing_is_no_mistake() {
    let setup = Setup::with_file("");
    std::fs::remove_file(setup.path("config.toml")).unwrap();
    assert!(!setup.loaded().files.contains(&setup.path("config.toml")));
}

#[test]
fn the_users_file_lies_in_the_xdg_folder_or_below_home() {
    let file = |variables: &[(&str, &str)]| {
        let environment = variables.iter().copied().collect::<Environment>();
        signalcore::config::user_file(&environment).map(|path| path.to_str().unwrap().to_owned())
    };
    assert_eq!(file(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]).unwrap(), "/x/signalcore/config.toml");
    assert_eq!(
        file(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]).unwrap(),
        "/h/.config/signalcore/config.toml"
    );
    assert_eq!(
        file(&[("XDG_CONFIG_HOME", ""), ("HOME", "/h")]).unwrap(),
        "/h/.config/signalcore/config.toml"
    );
    assert_eq!(file(&[]), None);
}

#[test]
fn what_is_remembered_and_found_lies_in_the_xdg_folder_of_states_or_below_home() {
    for (file, name) in [
        (signalcore::config::state_file as fn(&Environment) -> Option<PathBuf>, "pools.json"),
        (signalcore::config::journal_file, "blocks.journal"),
    ] {
        let file = |variables: &[(&str, &str)]| file(&variables.iter().copied().collect());
        let at = |folder: &str| Some(Path::new(folder).join(name));
        assert_eq!(file(&[("XDG_STATE_HOME", "/x"), ("HOME", "/h")]), at("/x/signalcore"));
        assert_eq!(file(&[("XDG_STATE_HOME", "x"), ("HOME", "/h")]), at("/h/.local/state/signalcore"));
        assert_eq!(file(&[]), None);
    }
}

#[test]
fn the_pool_of_the_environment_replaces_those_of_files_with_their_credentials() {
    let setup = Setup::with_file(TWO_POOLS).variable("SIGNALCORE_POOL_URL", "third.example.com:1");
    let loaded = setup.loaded();
    assert_eq!(urls(&loaded), ["stratum+tcp://third.example.com:1"]);
    assert_eq!((loaded.config.pools[0].user.as_str(), loaded.config.pools[0].password.expose()), ("", "x"));
    let setup =
        setup.variable("SIGNALCORE_POOL_USER", "bob").variable("SIGNALCORE_POOL_PASSWORD", "secret of bob");
    let pool = &setup.loaded().config.pools[0];
    assert_eq!((pool.user.as_str(), pool.password.expose()), ("bob", "secret of bob"));
}

#[test]
fn the_pools_of_the_command_line_replace_all_others_with_their_credentials() {
    let setup = Setup::with_file(TWO_POOLS)
        .variable("SIGNALCORE_POOL_URL", "third.example.com")
        .variable("SIGNALCORE_POOL_PASSWORD", "secret of the third")
        .flags(flag_pools(&["a", "b"], &["alice", "bob"]));
    let loaded = setup.loaded();
    assert_eq!(urls(&loaded), ["stratum+tcp://a:3333", "stratum+tcp://b:3333"]);
    assert_eq!(loaded.config.pools.iter().map(|p| p.user.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
    assert!(loaded.config.pools.iter().all(|pool| pool.password == Secret::new("x")));
    assert_eq!(loaded.origins.pool(1, "user").to_string(), "flag --user");
    assert_eq!(loaded.origins.pool(1, "password").to_string(), "default");
}

#[test]
fn an_empty_variable_counts_as_unset_and_one_of_another_program_is_ignored() {
    let setup = Setup::with_file(TWO_POOLS)
        .variable("SIGNALCORE_POOL_URL", "")
        .variable("SIGNALCORE_CPU_THREADS", "")
        .variable("SIGNALCORE_SERVICE_HOST", "10.0.0.1")
        .variable("SIGNALCORE_PORT", "tcp://10.0.0.1:80");
    assert_eq!(setup.loaded().config.pools.len(), 2);
}

#[test]
fn lists_come_from_all_layers_and_replace_each_other() {
    let setup = Setup::with_file("[[device]]\nspec = 'a'\n[[device]]\nspec = 'b'");
    assert_eq!(setup.loaded().config.devices, ["a", "b"]);
    let setup = setup.variable("SIGNALCORE_DEVICE", "c, d");
    assert_eq!(setup.loaded().config.devices, ["c", "d"]);
    let setup = setup.flags(|flags| flags.devices = vec!["e,f".into()]);
    assert_eq!(setup.loaded().config.devices, ["e,f"]);
}

#[test]
fn a_lower_priority_is_better_and_equal_ones_keep_the_order_of_the_list() {
    let text = "[[pool]]\nurl = 'd'\npriority = 2\n[[pool]]\nurl = 'b'\n[[pool]]\nurl = 'e'\n[[pool]]\nurl = 'a'\npriority = 0
        [[pool]]\nurl = 'c'\npriority = 1";
    let loaded = Setup::with_file(text).loaded();
    assert_eq!(urls(&loaded), ["a", "b", "c", "d", "e"].map(|host| format!("stratum+tcp://{host}:3333")));
    let priorities: Vec<_> = loaded.config.pools.iter().map(|pool| pool.terms.priority).collect();
    assert_eq!(priorities, [0, 1, 1, 2, 2]);
    assert_eq!(loaded.origins.pool(1, "priority").to_string(), "default");
    assert_eq!(Setup::with_file(show_toml(&loaded)).loaded().config, loaded.config);
}

#[test]
fn the_strategy_and_the_weights_of_pools_come_from_flags_too() {
    let setup = Setup::with_file("[upstreams]\nstrategy = 'rotate'").flags(|flags| {
        let (urls, weights) = (vec!["a".into(), "b".into()], vec!["70".into(), "30".into()]);
        flags.pools = pair_pools(&PoolLists { urls, weights, ..PoolLists::default() }).unwrap();
        flags.strategy = Some("load-balance".into());
    });
    let loaded = setup.loaded();
    assert_eq!(loaded.config.upstreams.strategy, Strategy::LoadBalance);
    assert_eq!(loaded.config.pools.iter().map(|pool| pool.terms.weight).collect::<Vec<_>>(), [70, 30]);
    assert_eq!(loaded.origins.pool(1, "weight").to_string(), "flag --pool-weight");
}

#[test]
fn one_server_may_stand_there_once_for_each_user() {
    let text = "[[pool]]\nurl = 'a'\nuser = 'alice'\n[[pool]]\nurl = 'a'\nuser = 'bob'";
    assert_eq!(Setup::with_file(text).loaded().config.pools.len(), 2);
}

#[test]
fn a_password_file_gives_its_first_line_and_lies_beside_the_file_that_names_it() {
    let setup = Setup::with_file("[[pool]]\nurl = 'a'\npassword_file = 'secrets/a'\n[log]\nfile = 'a.log'")
        .beside("secrets/a", "hunter2\r\nnote\n");
    let loaded = setup.loaded();
    assert_eq!(loaded.config.pools[0].password, Secret::new("hunter2"));
    assert_eq!(loaded.config.log.file, Some(setup.path("a.log")));
    let setup = setup.variable("SIGNALCORE_LOG_FILE", "b.log");
    assert_eq!(setup.loaded().config.log.file.unwrap().to_str(), Some("b.log"));
}

#[test]
fn the_listing_names_the_origin_of_each_value_and_reads_back_as_the_same_configuration() {
    let setup = Setup::with_file(format!("{TWO_POOLS}[cpu]\nthreads = 3\n[log]\nfile = '/a \"b\\'"))
        .variable("SIGNALCORE_LOG", "debug")
        .flags(|flags| flags.suggest_difficulty = Some("1e3".into()));
    let shown = setup.relative(&show_toml(&setup.loaded()));
    for line in [
        "url = \"stratum+tcp://first.example.com:3333\"  # config.toml:3",
        "# password = \"***\"  # config.toml:5",
        "# password_file is not set",
        "threads = 3  # config.toml:10",
        "file = \"/a \\\"b\\\\\"  # config.toml:12",
        "level = \"debug\"  # environment SIGNALCORE_LOG",
        "suggest_difficulty = 1000.0  # flag --suggest-difficulty",
        "pin = false  # default",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    let mut expected = setup.loaded().config;
    expected.pools[0].password = Secret::new("x"); // the one thing a listing does not tell
    assert_eq!(Setup::with_file(shown).loaded().config, expected);
}

#[test]
fn what_stands_around_a_url_becomes_settings_of_the_pool() {
    let setup = Setup::with_file("[[pool]]\nurl = 'socks5:h:9050|ssl://p:1#xnsub'");
    let loaded = setup.loaded();
    let shown = setup.relative(&show_toml(&loaded));
    for line in [
        "url = \"stratum+ssl://p:1\"  # config.toml:2",
        "proxy = \"socks5://h:9050\"  # config.toml:2",
        "extranonce_subscribe = true  # config.toml:2",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    assert_eq!(Setup::with_file(shown).loaded().config, loaded.config);
}

#[test]
fn a_proxys_login_is_in_no_listing_and_the_rest_reads_back_without_it() {
    let setup = Setup::with_file("[[pool]]\nurl = 'a'\nproxy = 'socks5://alice:hunter2@h:1'");
    let loaded = setup.loaded();
    let printed = format!("{loaded:?} {} {}", show_toml(&loaded), show_json(&loaded));
    assert!(!printed.contains("hunter2") && !printed.contains("alice"), "{printed}");
    assert!(show_toml(&loaded).contains("\n# proxy = \"socks5://***@h:1\"  # "), "{printed}");
    assert_eq!(Setup::with_file(show_toml(&loaded)).loaded().config.pools[0].proxy, None);
}

#[test]
fn the_listing_in_json_has_value_and_origin_of_each_setting() {
    let setup = Setup::with_file(TWO_POOLS);
    let shown = show_json(&setup.loaded());
    assert_eq!(shown["pools"][1]["url"]["value"], "stratum+tcp://second.example.com:443");
    assert_eq!(shown["pools"][0]["password"]["value"], "***");
    assert_eq!(shown["settings"]["cpu.duty_percent"]["value"], 100);
    assert_eq!(shown["settings"]["cpu.duty_percent"]["origin"], "default");
    assert!(shown["settings"]["log.file"]["value"].is_null());
    assert_eq!(shown["files"][0], setup.path("config.toml").to_str().unwrap());
}

#[test]
fn a_password_is_in_no_listing_and_no_debug_output_wherever_it_comes_from() {
    let password = "hunter2".to_owned();
    let file = Setup::with_file(TWO_POOLS);
    let variable = Setup::with_file("")
        .variable("SIGNALCORE_POOL_URL", "a")
        .variable("SIGNALCORE_POOL_PASSWORD", password.clone());
    let flag = Setup::with_file("").flags(|flags| {
        let (urls, passwords) = (vec!["a".into()], vec![Secret::new("hunter2")]);
        flags.pools = pair_pools(&PoolLists { urls, passwords, ..PoolLists::default() }).unwrap();
        assert!(!format!("{flags:?}").contains("hunter2"));
    });
    let password_file = Setup::with_file("[[pool]]\nurl = 'a'\npassword_file = 'p'").beside("p", "hunter2");
    for setup in [file, variable, flag, password_file] {
        let loaded = setup.loaded();
        assert_eq!(loaded.config.pools[0].password.expose(), password);
        let printed = format!("{loaded:?} {loaded:#?} {} {}", show_toml(&loaded), show_json(&loaded));
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
