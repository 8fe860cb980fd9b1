//! Nodes and whom their blocks pay: layers, listings, and every mistake with its exact words.

use std::time::Duration;

use signalcore::config::{
    Config, Flags, Loaded, NodeFlags, NodeLists, NodeLogin, PoolFlags, Secret, pair_nodes, show_json,
    show_toml,
};

use crate::setup::Setup;

const ADDRESS: &str = "bc1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3h8ffkz";

/// A file with these settings of one node, and an address to pay.
fn node(settings: &str) -> Setup {
    Setup::with_file(format!("solo.payout = ['{ADDRESS}']\n[[node]]\n{settings}"))
}

fn mistake(setup: &Setup) -> String {
    let mut all = setup.mistakes();
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

fn urls(loaded: &Loaded) -> Vec<String> {
    loaded.config.nodes.iter().map(|node| node.url.to_string()).collect()
}

#[test]
fn a_file_reaches_every_field_of_nodes_and_of_solo_mining() {
    let setup = Setup::with_file(
        "[[node]]
        url = 'http://[::1]:18443/'
        cookie = 'node.cookie'
        zmq = ['tcp://127.0.0.1:28332', 'unix:/run/zmq']
        [[node]]
        url = 'node.example.com'
        user = 'miner'
        password = 'word'
        [[node]]
        url = 'third.example.com'
        user = 'miner'
        password_file = 'node.password'
        [[node]]
        url = 'fourth.example.com'
        [solo]
        payout = ['mh5CE8Nbj38iND267s4XnvhSmhDW7yWc6Q=3', 'tb1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3apj6d3']
        coinbase_tag = ''
        priority = 0
        weight = 9
        refresh = 5
        fee_gain = 0
        check_proposal = false
        empty_first = true
        require_peers = false
        keep_without_node = 0
        [stop]
        blocks = 2",
    );
    let setup = setup.beside("node.password", "hunter2\n");
    let Config { nodes, solo, stop, .. } = setup.loaded().config;
    let urls: Vec<_> = nodes.iter().map(|node| node.url.to_string()).collect();
    let names = ["[::1]:18443", "node.example.com:8332", "third.example.com:8332", "fourth.example.com:8332"];
    assert_eq!(urls, names.map(|name| format!("http://{name}")));
    let login = |password, password_file| {
        let password = Secret::new(password);
        NodeLogin::Password { user: "miner".into(), password, password_file }
    };
    assert_eq!(nodes[0].login, NodeLogin::Cookie(setup.path("node.cookie")));
    assert_eq!(nodes[1].login, login("word", None));
    assert_eq!(nodes[2].login, login("hunter2", Some(setup.path("node.password"))));
    assert_eq!(nodes[3].login, NodeLogin::DefaultCookie);
    let zmq = nodes.iter().flat_map(|node| node.zmq.iter().map(ToString::to_string));
    assert_eq!(zmq.collect::<Vec<_>>(), ["tcp://127.0.0.1:28332", "ipc:///run/zmq"]);
    let payouts: Vec<_> = solo.payouts.iter().map(ToString::to_string).collect();
    assert_eq!(
        payouts,
        ["mh5CE8Nbj38iND267s4XnvhSmhDW7yWc6Q=3", "tb1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3apj6d3"]
    );
    assert_eq!((solo.coinbase_tag.as_str(), solo.priority, solo.weight), ("", Some(0), 9));
    let templates = solo.templates;
    assert_eq!(
        (templates.check_proposal, templates.empty_first, templates.require_peers),
        (false, true, false)
    );
    assert_eq!((templates.refresh.as_secs(), templates.fee_gain), (5, 0));
    assert_eq!(templates.keep_without_node, Duration::ZERO);
    assert_eq!(stop.blocks, Some(2));
}

#[test]
fn nodes_keep_the_order_of_the_list_and_those_of_drop_ins_come_after() {
    let setup = node("url = 'b'\n[[node]]\nurl = 'a:1'").beside("conf.d/1.toml", "[[node]]\nurl = 'c'");
    let loaded = setup.loaded();
    assert_eq!(urls(&loaded), ["http://b:8332", "http://a:1", "http://c:8332"]);
    assert_eq!(setup.relative(&loaded.origins.node(2, "url").to_string()), "conf.d/1.toml:2");
    assert_eq!(loaded.origins.node(2, "cookie").to_string(), "default");
}

#[test]
fn the_node_of_the_environment_replaces_those_of_files_with_their_logins_and_leaves_pools_alone() {
    let setup = node("url = 'a'\nuser = 'u'\npassword = 'p'\n[[node]]\nurl = 'b'\n[[pool]]\nurl = 'p'")
        .variable("SIGNALCORE_NODE_URL", "http://c:18443")
        .variable("SIGNALCORE_NODE_COOKIE", "/c/.cookie")
        .variable("SIGNALCORE_NODE_ZMQ", "tcp://c:28332, ipc:///c/zmq");
    let loaded = setup.loaded();
    assert_eq!((urls(&loaded), loaded.config.pools.len()), (vec!["http://c:18443".to_owned()], 1));
    let node = &loaded.config.nodes[0];
    assert_eq!(node.login, NodeLogin::Cookie("/c/.cookie".into()));
    assert_eq!(
        node.zmq.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["tcp://c:28332", "ipc:///c/zmq"]
    );
    let setup = Setup::with_file("").variable("SIGNALCORE_NODE_USER", "u");
    assert_eq!(
        mistake(&setup),
        "environment SIGNALCORE_NODE_USER: node: found credentials without a node, expected SIGNALCORE_NODE_URL \
         beside them; give SIGNALCORE_NODE_URL too; credentials are never sent to a node they were not given for"
    );
}

#[test]
fn a_listing_reads_back_and_shows_no_password_wherever_it_comes_from() {
    let file =
        "url = 'a'\nuser = 'u'\npassword_file = 'p'\nzmq = ['unix:/z']\n[[node]]\nurl = 'b'\ncookie = 'c'";
    let file = node(file).beside("p", "hunter2");
    let loaded = file.loaded();
    assert_eq!(Setup::with_file(show_toml(&loaded)).loaded().config, loaded.config);

    let inline = node("url = 'a'\nuser = 'u'\npassword = 'hunter2'");
    let variable = node("url = 'b'")
        .variable("SIGNALCORE_NODE_URL", "a")
        .variable("SIGNALCORE_NODE_USER", "u")
        .variable("SIGNALCORE_NODE_PASSWORD", "hunter2");
    for setup in [file, inline, variable] {
        let loaded = setup.loaded();
        let NodeLogin::Password { password, .. } = &loaded.config.nodes[0].login else {
            panic!("a password")
        };
        assert_eq!(password, &Secret::new("hunter2"));
        let printed = format!("{loaded:?} {loaded:#?} {} {}", show_toml(&loaded), show_json(&loaded));
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[test]
fn the_listing_has_value_and_origin_of_nodes_and_payouts() {
    let setup = node("url = 'a'\nuser = 'u'\npassword = 'p'");
    let loaded = setup.loaded();
    let shown = setup.relative(&show_toml(&loaded));
    for line in [
        "[[node]]",
        "url = \"http://a:8332\"  # config.toml:3",
        "# cookie is not set",
        "user = \"u\"  # config.toml:4",
        "# password = \"***\"  # config.toml:5",
        &format!("payout = [\"{ADDRESS}\"]  # config.toml:1"),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in\n{shown}");
    }
    let json = show_json(&loaded);
    assert_eq!(json["nodes"][0]["password"]["value"], "***");
    assert!(json["nodes"][0]["cookie"]["value"].is_null());
    assert_eq!(json["settings"]["solo.payout"]["value"][0], ADDRESS);
}

#[test]
fn a_url_that_is_no_node_says_why_and_repeats_no_password() {
    for (url, found, remedy) in [
        (
            "https://node:8332",
            "https://node:8332",
            "Bitcoin Core speaks plain HTTP alone; write http://, and reach a node elsewhere through an SSH tunnel or \
             a VPN",
        ),
        (
            "http://me:hunter2@node",
            "http://***@node",
            "user and password don't belong into the URL; give them as user and password of the node, or its cookie",
        ),
        (
            "node/wallet/w",
            "node/wallet/w",
            "nothing but / may stand behind host and port; remove it, mining needs no wallet",
        ),
    ] {
        assert_eq!(
            mistake(&node(&format!("url = '{url}'"))),
            format!(
                "config.toml:3: node.url: found \"{found}\", expected http://HOST:PORT of a node's RPC interface; \
                 {remedy}"
            )
        );
    }
    assert_eq!(
        mistake(&node("zmq = ['tcp://a:1']")),
        "config.toml:2: node.url: found a node without url, expected http://HOST:PORT of a node's RPC interface; \
         add a line url = \"http://HOST:PORT\" to this [[node]]"
    );
    assert_eq!(
        mistake(&node("url = 'a'\n[[node]]\nurl = 'http://A:8332/'\nuser = 'u'\npassword = 'p'")),
        "config.toml:5: node.url: found the same url as at config.toml:3, expected each node once; \
         delete one of the two"
    );
}

#[test]
fn a_node_has_one_way_to_log_in() {
    let both = "expected both, or none of them for the node's cookie";
    let cookie_too = "4: node.cookie: found it beside user or password, expected one of them; \
                      delete it, or user and password";
    for (settings, said) in [
        ("cookie = 'c'\nuser = 'u'\npassword = 'p'", cookie_too.to_owned()),
        ("cookie = 'c'\npassword_file = 'p'", cookie_too.to_owned()),
        (
            "user = 'u'",
            format!("4: node.user: found it without password, {both}; add password or password_file, or delete it"),
        ),
        ("password = 'p'", format!("4: node.password: found it without user, {both}; add user, or delete it")),
        (
            "password_file = 'p'",
            format!("4: node.password_file: found it without user, {both}; add user, or delete it"),
        ),
        (
            "user = 'u'\npassword = 'p'\npassword_file = 'p'",
            "6: node.password_file: found both password and password_file, expected one of them; \
             delete one of the two"
                .to_owned(),
        ),
        (
            "user = 'u:v'\npassword = 'p'",
            "4: node.user: found \"u:v\", expected a text that is not empty, without colons and control characters; \
             correct it or delete the line"
                .to_owned(),
        ),
    ] {
        let setup = node(&format!("url = 'a'\n{settings}")).beside("p", "p");
        assert_eq!(mistake(&setup), format!("config.toml:{said}"), "{settings}");
    }
    assert_eq!(
        mistake(&node("url = 'a'\nuser = 'u'\npassword_file = 'none'")),
        "config.toml:5: node.password_file: found none cannot be read (No such file or directory (os error 2)), \
         expected a readable file; correct the path or the file's permissions"
    );
}

#[test]
fn an_endpoint_that_is_none_is_named() {
    let expected = "expected a list of one or more of tcp://HOST:PORT, ipc:///PATH and unix:/PATH";
    assert_eq!(
        mistake(&node("url = 'a'\nzmq = ['tcp://a:1', 'tcp://*:28332']")),
        format!(
            "config.toml:4: node.zmq: found \"tcp://*:28332\", {expected}; \
             * is where a node listens, not where it is; write the node's host instead"
        )
    );
    assert_eq!(
        mistake(&node("url = 'a'\nzmq = 'tcp://a:1'")),
        format!("config.toml:4: node.zmq: found \"tcp://a:1\", {expected}; write [\"tcp://a:1\"]")
    );
    let endpoints =
        |count: u16| (1..=count).map(|port| format!("'tcp://a:{port}'")).collect::<Vec<_>>().join(",");
    node(&format!("url = 'a'\nzmq = [{}]", endpoints(8))).loaded();
    assert_eq!(
        mistake(&node(&format!("url = 'a'\nzmq = [{}]", endpoints(9)))),
        format!(
            "config.toml:4: node.zmq: found \"tcp://a:9\", {expected}; \
             a node has at most 8; keep the one that publishes hashblock"
        )
    );
}

#[test]
fn a_payout_that_cannot_be_is_named_with_the_reason() {
    let expected = "expected a list of 1 to 20 of \"ADDRESS\" or \"ADDRESS=PARTS\"";
    let test = "tb1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3apj6d3";
    let no_parts = format!("{ADDRESS}=0");
    for (list, remedy) in [
        (vec!["alice"], "it is mistyped, cut or of another coin; copy it again from your wallet"),
        (
            vec![ADDRESS, "bc1pfeessrawgf"],
            "anybody, or nobody known, can spend what is paid there; use an address of P2PKH, P2SH, P2WPKH, P2WSH or \
             P2TR",
        ),
        (
            vec![&no_parts],
            "the parts behind = are no whole number from 1 to 1000000; correct them, or leave them out for 1",
        ),
        (
            vec![ADDRESS, test],
            "it is of another network than the addresses before it; keep those of the network that you mine on",
        ),
        (vec![ADDRESS; 21], "a block of ours pays at most 20; delete the others"),
    ] {
        let found = list.last().unwrap();
        let items: Vec<_> = list.iter().map(|item| format!("'{item}'")).collect();
        let setup = Setup::with_file(format!("[[node]]\nurl = 'a'\n[solo]\npayout = [{}]", items.join(",")));
        assert_eq!(
            mistake(&setup),
            format!("config.toml:4: solo.payout: found \"{found}\", {expected}; {remedy}")
        );
    }
}

#[test]
fn a_node_needs_somebody_to_pay_and_a_payout_of_a_file_needs_no_node() {
    assert_eq!(
        mistake(&Setup::with_file("[[node]]\nurl = 'a'\n[[node]]\nurl = 'b'")),
        "config.toml:2: solo.payout: found a node, but nobody whom its blocks pay, expected a list of 1 to 20 of \
         \"ADDRESS\" or \"ADDRESS=PARTS\"; give an address of your wallet with --payout or as payout below [solo]"
    );
    assert_eq!(Setup::with_file(format!("[solo]\npayout = ['{ADDRESS}']")).loaded().config.nodes, []);
    let setup = Setup::with_file("[[node]]\nurl = 'a'").variable("SIGNALCORE_SOLO_PAYOUT", ADDRESS);
    assert_eq!(setup.loaded().config.solo.payouts.len(), 1);
}

#[test]
fn settings_of_solo_mining_have_ranges() {
    for (line, expected) in [
        ("refresh = 4", "a whole number of seconds from 5 to 600"),
        ("refresh = 601", "a whole number of seconds from 5 to 600"),
        ("fee_gain = -1", "a whole number from 0 to 1000000000"),
        ("fee_gain = 1000000001", "a whole number from 0 to 1000000000"),
        ("keep_without_node = 7201", "a whole number of seconds from 0 to 7200"),
        ("weight = 0", "a whole number from 1 to 1000000"),
        ("weight = 1000001", "a whole number from 1 to 1000000"),
        ("priority = 1001", "a whole number from 0 to 1000"),
        ("coinbase_tag = 'ä'", "a text of at most 64 characters of printable ASCII"),
        ("empty_first = 1", "true or false"),
    ] {
        let said = mistake(&Setup::with_file(format!("[solo]\n{line}")));
        assert!(said.contains(&format!(", expected {expected}; ")), "{said}");
    }
    let tag = "a".repeat(64);
    let ends =
        "refresh = 600\nfee_gain = 1000000000\nkeep_without_node = 7200\nweight = 1000000\npriority = 1000";
    Setup::with_file(format!("[solo]\ncoinbase_tag = '{tag}'\n{ends}")).loaded();
    assert!(mistake(&Setup::with_file("[stop]\nblocks = 0")).contains("expected a whole number above 0"));
}

#[test]
fn upstreams_of_the_command_line_replace_both_kinds_and_leave_the_settings_of_solo_mining() {
    let file = "url = 'a'\nuser = 'u'\npassword = 'hunter2'\n[[pool]]\nurl = 'p'\n[solo]\nrefresh = 60";
    let file = file.replace("[solo]\n", "[solo]\npayout = ['bc1qzyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3h8ffkz']\n");
    let file = || Setup::with_file(format!("[[node]]\n{file}")).variable("SIGNALCORE_NODE_URL", "b");
    let solo = file().flags(|flags| {
        flags.nodes = pair_nodes(&NodeLists {
            urls: vec!["c".into(), "d:18443".into()],
            cookies: vec!["c.cookie".into(), String::new()],
            zmq: vec!["tcp://c:1".into(), String::new()],
            ..NodeLists::default()
        })
        .unwrap();
        flags.coinbase_tag = Some("/tag/".into());
        flags.blocks = Some("1".into());
    });
    let loaded = solo.loaded();
    assert_eq!(
        (urls(&loaded), loaded.config.pools.len()),
        (vec!["http://c:8332".into(), "http://d:18443".into()], 0)
    );
    assert_eq!(loaded.config.nodes[0].login, NodeLogin::Cookie("c.cookie".into()));
    assert_eq!(loaded.config.nodes[1].login, NodeLogin::DefaultCookie);
    assert_eq!(loaded.origins.node(0, "zmq").to_string(), "flag --zmq");
    let Config { solo, stop, .. } = loaded.config;
    assert_eq!((solo.templates.refresh.as_secs(), solo.payouts.len()), (60, 1));
    assert_eq!((solo.coinbase_tag.as_str(), stop.blocks), ("/tag/", Some(1)));

    let pool =
        file().flags(|flags| flags.pools = vec![PoolFlags { url: "q".into(), ..PoolFlags::default() }]);
    assert_eq!((urls(&pool.loaded()), pool.loaded().config.pools.len()), (vec![], 1));
    let both = pool.flags(|flags| flags.nodes = vec![NodeFlags { url: "c".into(), ..NodeFlags::default() }]);
    assert_eq!((urls(&both.loaded()).len(), both.loaded().config.pools.len()), (1, 1));
}

#[test]
fn payouts_of_the_command_line_replace_those_of_files_and_need_a_node() {
    let payouts = |flags: &mut Flags| flags.payouts = vec![format!("{ADDRESS}=2")];
    let loaded = node("url = 'a'").flags(payouts).loaded();
    assert_eq!(loaded.config.solo.payouts[0].parts(), 2);
    assert_eq!(loaded.origins.setting("solo.payout").to_string(), "flag --payout");
    let none = Setup::with_file("[[pool]]\nurl = 'p'").flags(payouts);
    assert_eq!(
        mistake(&none),
        "flag --payout: solo.payout: found an address, but no node to mine on, expected http://HOST:PORT of a node's \
         RPC interface; name the node with --solo or as [[node]]"
    );
    let nobody = Setup::with_file("").flags(|flags| {
        flags.nodes = vec![NodeFlags { url: "a".into(), ..NodeFlags::default() }];
    });
    assert!(mistake(&nobody).starts_with("flag --solo: solo.payout: found a node, but nobody"));
    assert!(nobody.load().unwrap_err().is_usage());
}

#[test]
fn no_mistake_in_a_node_repeats_a_secret() {
    for text in [
        "[[node]]\nurl = 'a'\npassword = ['hunter2']",
        "[[node]]\nurl = 'a'\nuser = 'u'\npassword = \"hunter2\\u0007\"",
        "[[node]]\nurl = 'a'\npasswrod = 'hunter2'",
        "[[node]]\nurl = 'a'\npassword = 'hunter2'",
        "[[node]]\nurl = 'me:hunter2 @a'",
        "[[node]]\nurl = 'a'\nzmq = ['tcp://me:hunter2@a:1']",
        "node = 'hunter2'",
        "node.password = 'hunter2'",
    ] {
        let error = Setup::with_file(text).load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
    let flags = Setup::with_file("").flags(|flags| {
        let password = Some(Secret::new("hunter2\n"));
        flags.nodes = vec![NodeFlags { url: "me:hunter2@a".into(), password, ..NodeFlags::default() }];
        assert!(!format!("{flags:?}").contains("\"hunter2"), "{flags:?}");
    });
    let error = flags.load().unwrap_err();
    assert_eq!(error.problems.len(), 3); // the url, the password, and no user beside it
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}
