//! `[model]`: every setting, and what they are unless given.

use std::time::Duration;

use signalcore::config::{Config, Model, Scheme, Strategy};

use crate::setup::Setup;

#[test]
fn without_a_word_no_model_is_asked_and_its_bounds_are_the_documented_ones() {
    let model = Config::default().model;
    assert_eq!((model.backend.as_str(), model.mode.as_str()), ("off", "shadow"));
    assert_eq!((model.epsilon, model.min_confidence, model.regret_per_day), (0.01, 0.6, 0.002));
    assert_eq!((model.max_memory, model.max_processes), (2048, 32));
    assert_eq!((model.require_sandbox, model.network, model.allow_remote), (true, false, false));
    assert_eq!((model.deadline, model.ask_every), (None, Duration::from_mins(1)));
    assert_eq!((model.command, model.allow_ports, model.paths), (vec![], vec![], vec![]));
}

#[test]
fn a_file_reaches_every_field_of_a_model() {
    let setup = Setup::with_file(
        "[model]
        backend = 'openai'
        mode = 'advise'
        command = ['python3', '/a.py']
        url = 'http://127.0.0.1:8080'
        name = 'qwen'
        key_file = 'model.key'
        preferences = 'stay solo'
        deadline = 2.5
        ask_every = 30
        epsilon = 0.02
        min_confidence = 0.7
        regret_per_day = 0.001
        max_memory = 512
        max_processes = 4
        network = true
        allow_ports = ['11434']
        paths = ['/srv']
        require_sandbox = false
        allow_remote = true",
    );
    let text = |text: &str| text.to_owned();
    let expected = Model {
        backend: text("openai"),
        mode: text("advise"),
        command: vec![text("python3"), text("/a.py")],
        url: Some(text("http://127.0.0.1:8080")),
        name: text("qwen"),
        key_file: Some(setup.path("model.key")),
        preferences: text("stay solo"),
        deadline: Some(2.5),
        epsilon: 0.02,
        min_confidence: 0.7,
        regret_per_day: 0.001,
        max_memory: 512,
        max_processes: 4,
        network: true,
        allow_ports: vec![text("11434")],
        paths: vec![text("/srv")],
        require_sandbox: false,
        allow_remote: true,
        ask_every: Duration::from_secs(30),
    };
    assert_eq!(setup.loaded().config.model, expected);
}

#[test]
fn a_file_says_what_a_hash_for_a_pool_is_worth() {
    let setup = Setup::with_file(
        "[upstreams]
        strategy = 'value'
        stale_policy = 'network'
        canary = true
        risk_aversion = 1e-9
        [[pool]]
        url = 'a:1'
        scheme = 'pplns'
        fee_percent = 1.5
        payout_factor = 0.99
        [[pool]]
        url = 'b:1'",
    );
    let config = setup.loaded().config;
    assert_eq!(
        (config.upstreams.strategy, config.upstreams.stale_policy.as_str()),
        (Strategy::Value, "network")
    );
    assert_eq!((config.upstreams.canary, config.upstreams.risk_aversion), (true, 1e-9));
    let worth =
        config.pools.iter().map(|pool| (pool.terms.scheme, pool.terms.fee_percent, pool.terms.payout_factor));
    assert_eq!(worth.collect::<Vec<_>>(), [(Scheme::Pplns, 1.5, 0.99), (Scheme::Pps, 0.0, 1.0)]);
    assert_eq!(Config::default().upstreams.stale_policy, "own_revenue");
}

#[test]
fn a_pool_that_pays_by_rounds_is_named_in_full_or_for_short() {
    for name in ["proportional", "prop"] {
        let setup = Setup::with_file(format!("[[pool]]\nurl = 'a:1'\nscheme = '{name}'"));
        let scheme = setup.loaded().config.pools[0].terms.scheme;
        assert_eq!((scheme, scheme.name()), (Scheme::Proportional, "proportional"));
    }
}
