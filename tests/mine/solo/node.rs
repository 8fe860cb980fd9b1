//! A real Bitcoin Core in a folder of its own: on regtest unless its options name another chain.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use signalcore::upstream::node::login::Login;
use signalcore::upstream::node::rpc::Access;

use crate::support::{PATIENCE, skipped};

/// An option for a user whose password is "secret".
pub(crate) const USER: &str =
    "-rpcauth=miner:deadbeef$f7b11f253ea701e115085bf09f52850201be02469321f9e5b5c3dc00829551c7";

/// A node; it and its folder end with the value.
pub(crate) struct Node {
    child: Option<Child>,
    folder: tempfile::TempDir,
    options: Vec<String>,
    program: PathBuf,
    pub(crate) rpc: u16,
    pub(crate) zmq: u16,
    pub(crate) p2p: u16,
}

/// The program that the tests' script found or built.
fn program() -> Option<PathBuf> {
    let named = std::env::var_os("BITCOIND").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let built =
        cache.map(|cache| cache.join("signalcore/bitcoind-0.2.0/bitcoind")).filter(|path| path.exists());
    named.or(built)
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Node {
    /// A node with these options; `None`, reported as skipped, where there is no bitcoind.
    pub(crate) fn start(test: &str, options: &[&str]) -> Option<Self> {
        let Some(program) = program() else {
            skipped(test, "there is no bitcoind; tests/bitcoind.sh builds one");
            return None;
        };
        let mut node = Self {
            child: None,
            folder: tempfile::tempdir().unwrap(),
            options: options.iter().map(ToString::to_string).collect(),
            program,
            rpc: free_port(),
            zmq: free_port(),
            p2p: free_port(),
        };
        node.launch();
        // Somebody else on the machine may have taken a port that was free a moment ago: then it ends at once.
        for attempt in 1.. {
            if node.becomes_ready() {
                break;
            }
            assert!(attempt < 5, "the node ends at once, whatever its ports");
            (node.rpc, node.zmq, node.p2p) = (free_port(), free_port(), free_port());
            node.launch();
        }
        Some(node)
    }

    /// Starts it without waiting.
    pub(crate) fn launch(&mut self) {
        let zmq = format!("tcp://127.0.0.1:{}", self.zmq);
        let mut command = Command::new(&self.program);
        command.arg(format!("-{}", self.chain())).arg(format!("-datadir={}", self.folder.path().display()));
        command.args([
            "-server",
            "-dnsseed=0",
            "-fixedseeds=0",
            "-listenonion=0",
            "-printtoconsole=0",
            "-logtimemicros",
        ]);
        command.args([format!("-rpcport={}", self.rpc), format!("-bind=127.0.0.1:{}", self.p2p)]);
        command.args([format!("-zmqpubhashblock={zmq}"), format!("-zmqpubsequence={zmq}")]);
        command.args(["-fallbackfee=0.0001", "-dbcache=16", "-par=1", "-maxmempool=50"]);
        command.args(&self.options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().unwrap());
    }

    pub(crate) fn wait_until_ready(&mut self) {
        assert!(self.becomes_ready(), "the node does not start");
    }

    /// Waits for its first answer; false when it has ended instead.
    fn becomes_ready(&mut self) -> bool {
        let give_up_at = Instant::now() + PATIENCE;
        while self.try_call("getblockcount", &json!([])).is_err() {
            assert!(Instant::now() < give_up_at, "the node does not start");
            if self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some())) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    /// Stops it as an operator would, and waits for its end.
    pub(crate) fn stop(&mut self) {
        self.call("stop", json!([]));
        if let Some(mut child) = self.child.take() {
            child.wait().unwrap();
        }
    }

    /// How our client finds it.
    pub(crate) fn access(&self) -> Access {
        let login = Login::Cookie(vec![self.cookie().into()]);
        Access { host: "127.0.0.1".to_owned(), port: self.rpc, login }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rpc)
    }

    pub(crate) fn zmq_url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.zmq)
    }

    pub(crate) fn cookie(&self) -> String {
        self.folder.path().join(self.chain()).join(".cookie").to_str().unwrap().to_owned()
    }

    fn chain(&self) -> &'static str {
        ["signet", "testnet4"]
            .into_iter()
            .find(|chain| self.options.contains(&format!("-{chain}")))
            .unwrap_or("regtest")
    }

    /// The result of a call that must work.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, &params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    pub(crate) fn try_call(&self, method: &str, params: &Value) -> Result<Value, String> {
        let cookie = fs::read_to_string(self.cookie()).map_err(|error| error.to_string())?;
        let login = base64::engine::general_purpose::STANDARD.encode(cookie);
        let body = json!({"id": 1, "method": method, "params": params}).to_string();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic {login}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.rpc)).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).map_err(|error| error.to_string())?;
        let (_, body) = reply.split_once("\r\n\r\n").ok_or("no HTTP")?;
        let reply: Value = serde_json::from_str(body).map_err(|error| format!("{error}: {reply}"))?;
        if reply["error"].is_null() { Ok(reply["result"].clone()) } else { Err(reply["error"].to_string()) }
    }

    pub(crate) fn height(&self) -> u64 {
        self.call("getblockcount", json!([])).as_u64().unwrap()
    }

    pub(crate) fn tip(&self) -> String {
        self.call("getbestblockhash", json!([])).as_str().unwrap().to_owned()
    }

    /// Blocks found by the node itself, paid to anybody.
    pub(crate) fn generate(&self, blocks: u32) {
        let checked = self.call("getdescriptorinfo", json!(["raw(51)"]));
        self.call("generatetodescriptor", json!([blocks, checked["descriptor"]]));
    }

    /// A valid next block that it has not been given, which pays to this script (hexadecimal): its hash as it is shown, and
    /// the block in hexadecimal.
    pub(crate) fn unsubmitted_block(&self, script: &str) -> (String, String) {
        let block = self.call("generateblock", json!([format!("raw({script})"), [], false]));
        (block["hash"].as_str().unwrap().to_owned(), block["hex"].as_str().unwrap().to_owned())
    }

    /// Waits until its templates have so many transactions: it keeps one for five seconds.
    pub(crate) fn wait_for_template(&self, transactions: usize) {
        self.wait_for("a template with the transactions", |node| {
            let template = node.call("getblocktemplate", json!([{"rules": ["segwit"]}]));
            template["transactions"].as_array().unwrap().len() == transactions
        });
    }

    /// The block of this height with its transactions.
    pub(crate) fn block(&self, height: u64) -> Value {
        let hash = self.call("getblockhash", json!([height]));
        self.call("getblock", json!([hash, 2]))
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().unwrap();
        }
    }

    /// Waits until it says so.
    pub(crate) fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let give_up_at = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < give_up_at, "the node never came to {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
