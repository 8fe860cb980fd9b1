//! What a node publishes about its chain, read from the messages: a hint that there is a new tip, or that something was
//! missed. Source: Bitcoin Core `zmq/zmqpublishnotifier.cpp`; bodies as they were seen.

use super::zmtp::Part;

/// What a message means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockNotice {
    /// A block was connected, or is the new tip; its hash in header order.
    Tip([u8; 32]),
    /// The chain has changed in another way, or messages were missed: ask the node.
    Changed,
}

/// What has come, by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NoticeFigures {
    /// Messages that were understood.
    pub messages: u64,
    /// Messages that were not: other topics, other lengths.
    pub ignored: u64,
    /// Messages that never came, by the numbers of those that did.
    pub missed: u64,
}

/// The topics that are read, each with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topic {
    HashBlock,
    Sequence,
}

/// Reads the messages of one publisher.
#[derive(Debug, Default)]
pub struct NoticeReader {
    /// The last number of each topic. They count by themselves, from 0 at the start of the node.
    last: [Option<u32>; 2],
    figures: NoticeFigures,
}

impl NoticeReader {
    /// Another connection begins: what came between the two is not known, nor counted.
    pub fn begin(&mut self) {
        self.last = [None; 2];
    }

    /// A message; `None` when there is nothing to learn from it.
    pub fn read(&mut self, parts: &[Part]) -> Option<BlockNotice> {
        let Some((topic, notice, number)) = understood(parts) else {
            self.figures.ignored += 1;
            return None;
        };
        self.figures.messages += 1;
        let last = self.last[topic as usize].replace(number);
        let expected = last.map(|last| last.wrapping_add(1));
        if expected.is_none_or(|expected| expected == number) {
            return notice;
        }
        // A lower number is a node that has started anew.
        let gap = number.wrapping_sub(expected.unwrap_or(number));
        self.figures.missed += if gap < u32::MAX / 2 { u64::from(gap) } else { 0 };
        Some(notice.unwrap_or(BlockNotice::Changed))
    }

    /// What has come.
    pub fn figures(&self) -> NoticeFigures {
        self.figures
    }
}

fn understood(parts: &[Part]) -> Option<(Topic, Option<BlockNotice>, u32)> {
    let [topic, body, number] = parts else { return None };
    if !parts.iter().all(Part::is_whole) {
        return None;
    }
    let number = u32::from_le_bytes(number.bytes[..].try_into().ok()?);
    let hash = |bytes: &[u8]| {
        let mut hash: [u8; 32] = bytes.try_into().ok()?;
        hash.reverse(); // published as JSON-RPC prints it
        Some(hash)
    };
    match &topic.bytes[..] {
        b"hashblock" => Some((Topic::HashBlock, Some(BlockNotice::Tip(hash(&body.bytes)?)), number)),
        b"sequence" => {
            let (bytes, label) = (body.bytes.get(..32)?, body.bytes.get(32)?);
            let notice = match (label, body.bytes.len()) {
                (b'C', 33) => Some(BlockNotice::Tip(hash(bytes)?)),
                (b'D', 33) => Some(BlockNotice::Changed),
                (b'A' | b'R', 41) => None, // a transaction came into or left the mempool
                _ => return None,
            };
            Some((Topic::Sequence, notice, number))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: [&[u8]; 3]) -> Vec<Part> {
        parts.map(|bytes| Part { bytes: bytes.to_vec(), length: bytes.len() as u64 }).to_vec()
    }

    fn hash_block(number: u32) -> Vec<Part> {
        parts([b"hashblock", &[7; 32], &number.to_le_bytes()])
    }

    fn recorded(name: &str) -> Vec<u8> {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/gbt-vectors.json")).unwrap();
        hex::decode(vectors["zmtp"]["sequence_bodies_seen"][name].as_str().unwrap()).unwrap()
    }

    #[test]
    fn the_recorded_bodies_name_a_block_in_header_order() {
        let connect = recorded("connect");
        let mut reader = NoticeReader::default();
        let Some(BlockNotice::Tip(hash)) = reader.read(&parts([b"sequence", &connect, &[0; 4]])) else {
            panic!()
        };
        assert!(hash.iter().rev().eq(&connect[..32]));
        let disconnect = parts([b"sequence", &recorded("disconnect"), &[1, 0, 0, 0]]);
        assert_eq!(reader.read(&disconnect), Some(BlockNotice::Changed));
    }

    #[test]
    fn a_gap_is_counted_and_a_restart_is_none() {
        let mut reader = NoticeReader::default();
        for number in [u32::MAX, 0, 1] {
            assert!(reader.read(&hash_block(number)).is_some());
        }
        assert_eq!(reader.figures().missed, 0, "the number goes round");
        reader.read(&hash_block(5));
        assert_eq!(reader.figures().missed, 3);
        reader.read(&hash_block(0));
        assert_eq!(reader.figures().missed, 3);
        let transaction = [&[1; 32][..], b"A", &[0; 8]].concat();
        assert_eq!(reader.read(&parts([b"sequence", &transaction, &[4, 0, 0, 0]])), None);
        let after_a_gap = reader.read(&parts([b"sequence", &transaction, &[9, 0, 0, 0]]));
        assert_eq!(after_a_gap, Some(BlockNotice::Changed), "a block may be among the missed");
    }

    #[test]
    fn what_is_no_notice_is_counted_and_ignored() {
        let mut reader = NoticeReader::default();
        let cut = Part { bytes: vec![0; 32], length: 300 };
        let number = Part { bytes: vec![0; 4], length: 4 };
        let topic = Part { bytes: b"hashblock".to_vec(), length: 9 };
        let odd = [
            parts([b"hashblock", &[7; 31], &[0; 4]]),
            parts([b"hashblock", &[7; 32], &[0; 3]]),
            parts([b"hashtx", &[7; 32], &[0; 4]]),
            parts([b"sequence", &[7; 33], &[0; 4]]),
            parts([b"sequence", b"", &[0; 4]]),
            vec![topic.clone(), cut, number],
            vec![topic],
            vec![],
        ];
        for message in &odd {
            assert_eq!(reader.read(message), None, "{message:?}");
        }
        assert_eq!(reader.figures(), NoticeFigures { messages: 0, ignored: odd.len() as u64, missed: 0 });
    }
}
