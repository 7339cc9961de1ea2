//! What the protocol demands beyond the layout of its messages.

mod common;

use bytes::{BufMut, Bytes, BytesMut};
use innkeeper_proto::codec::{DecodeError, Reader};
use innkeeper_proto::frame::{
    self, DEFAULT_MAX_LEN, FourLetterWord, FrameDecoder, FrameError, Inbound,
};
use innkeeper_proto::reply::{MultiResult, Reply};
use innkeeper_proto::request::{Create, RemoveWatches, Request};
use innkeeper_proto::{Acl, CreateMode, ErrorCode, OpCode, Perms, WatcherType};

fn framed(body: &[u8]) -> BytesMut {
    let mut buf = BytesMut::new();
    buf.put_i32(i32::try_from(body.len()).expect("a test's length"));
    buf.put_slice(body);
    buf
}

#[test]
fn lengths_outside_the_limit_are_errors() {
    for (length, error) in [
        (-1, FrameError::Negative { length: -1 }),
        (i32::MIN, FrameError::Negative { length: i32::MIN }),
        (
            101,
            FrameError::TooLong {
                length: 101,
                max: 100,
            },
        ),
        (
            i32::MAX,
            FrameError::TooLong {
                length: i32::MAX as usize,
                max: 100,
            },
        ),
    ] {
        // The length alone is enough: the frame need not have come.
        let mut buf = BytesMut::from(&length.to_be_bytes()[..]);
        assert_eq!(FrameDecoder::new(100).decode(&mut buf), Err(error));
    }
    let mut longest = framed(&[7; 100]);
    assert_eq!(
        FrameDecoder::new(100).decode(&mut longest),
        Ok(Some(Inbound::Frame(Bytes::from_static(&[7; 100]))))
    );
    assert_eq!(
        FrameDecoder::new(100).decode(&mut framed(&[])),
        Ok(Some(Inbound::Frame(Bytes::new())))
    );
    assert_eq!(DEFAULT_MAX_LEN, 1_048_575);
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let mut stream = framed(b"first");
    stream.unsplit(framed(b""));
    stream.unsplit(framed(b"third"));
    let mut decoder = FrameDecoder::new(100);
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for byte in stream {
        buf.put_u8(byte);
        while let Some(message) = decoder.decode(&mut buf).expect("frames") {
            frames.push(message);
        }
    }
    assert_eq!(
        frames,
        [&b"first"[..], b"", b"third"].map(|body| Inbound::Frame(Bytes::from_static(body)))
    );
}

#[test]
fn words_are_only_words_at_the_start() {
    for word in FourLetterWord::ALL {
        let mut buf = BytesMut::from(word.as_str().as_bytes());
        assert_eq!(
            FrameDecoder::new(100).decode(&mut buf),
            Ok(Some(Inbound::Word(*word)))
        );
        assert!(buf.is_empty());
        assert_eq!(word.as_str().parse(), Ok(*word));
        // At a client's end, and after the first frame, the same bytes are a length beyond every limit.
        let mut buf = BytesMut::from(word.as_str().as_bytes());
        let length = u32::from_be_bytes(*buf.first_chunk().expect("four letters")) as usize;
        let too_long = FrameError::TooLong {
            length,
            max: DEFAULT_MAX_LEN,
        };
        assert_eq!(
            FrameDecoder::frames_only(DEFAULT_MAX_LEN).decode(&mut buf),
            Err(too_long)
        );
        let mut stream = framed(b"connect");
        stream.put_slice(word.as_str().as_bytes());
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_LEN);
        assert!(matches!(
            decoder.decode(&mut stream),
            Ok(Some(Inbound::Frame(_)))
        ));
        assert_eq!(decoder.decode(&mut stream), Err(too_long));
    }
    // The words that ZooKeeper 3.9 registers, the goodbye of telnet apart, which is a negative length.
    let words: Vec<_> = FourLetterWord::ALL
        .iter()
        .map(|word| word.as_str())
        .collect();
    let theirs =
        "conf cons crst dirs dump envi gtmk hash isro mntr ruok srst srvr stat stmk wchc wchp wchs";
    assert_eq!(words.join(" "), theirs);
    let mut telnet = BytesMut::from(&[0xff, 0xf4, 0xff, 0xfd][..]);
    assert!(matches!(
        FrameDecoder::new(100).decode(&mut telnet),
        Err(FrameError::Negative { .. })
    ));
    assert!("RUOK".parse::<FourLetterWord>().is_err());
    assert_eq!(FourLetterWord::from_bytes(*b"abcd"), None);
}

#[test]
fn a_length_is_patched_in() {
    let mut buf = BytesMut::from(&b"before"[..]);
    let start = frame::start(&mut buf);
    buf.put_slice(b"body");
    assert!(frame::finish(&mut buf, start));
    assert_eq!(&buf[..], b"before\0\0\0\x04body");
}

#[test]
fn null_data_is_not_empty_data() {
    let create = |data| {
        Request::Create(Create {
            path: "/a".into(),
            data,
            acl: vec![],
            flags: 0,
        })
    };
    let mut sent = Vec::new();
    for data in [None, Some(Bytes::new())] {
        let mut buf = BytesMut::new();
        create(data.clone()).encode(&mut buf, 1);
        let (_, decoded) = Request::decode(buf.split_off(4).freeze()).expect("a header");
        assert_eq!(decoded, Ok(create(data)));
        sent.push(buf);
    }
    // In replies: goldens `get_data_null` and `get_data_empty`.
    let read = |bytes: &'static [u8]| {
        Reply::decode(OpCode::GetData, &mut Reader::new(Bytes::from_static(bytes)))
    };
    let mut null = vec![0xff; 4];
    null.extend([0; 68]);
    let mut empty = vec![0; 4];
    empty.extend([0; 68]);
    assert!(matches!(read(null.leak()), Ok(Reply::Data(None, _))));
    assert!(matches!(read(empty.leak()), Ok(Reply::Data(Some(data), _)) if data.is_empty()));
}

#[test]
fn a_negative_length_other_than_null_is_refused() {
    for length in [-2, i32::MIN] {
        let bytes = Bytes::copy_from_slice(&length.to_be_bytes());
        assert_eq!(
            Reader::new(bytes.clone()).buffer(),
            Err(DecodeError::BadLength { length })
        );
        assert_eq!(
            Reader::new(bytes.clone()).string(),
            Err(DecodeError::BadLength { length })
        );
        // A list of a negative length is empty, in ZooKeeper too.
        assert_eq!(Reader::new(bytes).strings(), Ok(vec![]));
    }
    let short = Bytes::from_static(&[0, 0, 0, 3, b'a']);
    assert_eq!(
        Reader::new(short).buffer(),
        Err(DecodeError::Truncated { missing: 2 })
    );
    assert_eq!(
        DecodeError::Truncated { missing: 2 }.error_code(),
        ErrorCode::MarshallingError
    );
}

/// Java's decoder puts U+FFFD where bytes are not UTF-8; the path check of the server refuses that character, so the
/// client gets BadArguments and keeps its connection.
#[test]
fn malformed_utf8_is_replaced_not_refused() {
    let read = |bytes: &'static [u8]| {
        let mut body = BytesMut::new();
        body.put_i32(i32::try_from(bytes.len()).expect("a test's length"));
        body.put_slice(bytes);
        Reader::new(body.freeze())
            .string()
            .expect("a string")
            .to_string()
    };
    assert_eq!(read(b"/a\xffb"), "/a\u{fffd}b");
    // A surrogate pair as Java's own client writes it.
    assert_eq!(
        read(b"/\xed\xa0\xbe\xed\xb6\x80"),
        format!("/{}", "\u{fffd}".repeat(6))
    );
    assert_eq!(read(b"/\xe6\x97"), "/\u{fffd}");
    assert_eq!(read("/ü/日本/🦀".as_bytes()), "/ü/日本/🦀");
}

#[test]
fn create_modes_are_zookeepers_and_others_are_bad_arguments() {
    let modes = [
        (0, CreateMode::Persistent, false, false, false),
        (1, CreateMode::Ephemeral, true, false, false),
        (2, CreateMode::PersistentSequential, false, true, false),
        (3, CreateMode::EphemeralSequential, true, true, false),
        (4, CreateMode::Container, false, false, false),
        (5, CreateMode::PersistentTtl, false, false, true),
        (6, CreateMode::PersistentSequentialTtl, false, true, true),
    ];
    for (flags, mode, ephemeral, sequential, ttl) in modes {
        assert_eq!(CreateMode::from_flags(flags), Ok(mode));
        assert_eq!(
            (mode.is_ephemeral(), mode.is_sequential(), mode.is_ttl()),
            (ephemeral, sequential, ttl)
        );
    }
    for flags in [-1, 7, 8, i32::MAX, i32::MIN] {
        assert_eq!(CreateMode::from_flags(flags), Err(ErrorCode::BadArguments));
    }
}

#[test]
fn watcher_types_that_do_not_exist_are_marshalling_errors() {
    let remove = |kind| RemoveWatches {
        path: "/a".into(),
        kind,
    };
    assert_eq!(remove(3).watcher_type(), Ok(WatcherType::Any));
    for kind in [0, 6, -1] {
        assert_eq!(
            remove(kind).watcher_type(),
            Err(ErrorCode::MarshallingError)
        );
    }
}

#[test]
fn a_multi_inside_a_multi_is_refused() {
    for op in [14, 22, 11, 4, -11, -1, 100, 77] {
        let mut body = BytesMut::new();
        for _ in 0..1000 {
            body.put_i32(op);
            body.put_u8(0);
            body.put_i32(-1);
        }
        let refused = Request::decode_body(OpCode::Multi.as_i32(), &mut Reader::new(body.freeze()));
        assert_eq!(refused, Err(DecodeError::NotInMulti { op }));
    }
}

#[test]
fn a_multi_without_its_end_is_truncated() {
    let multi = common::golden(common::KAZOO)
        .into_iter()
        .find(|(name, _)| name == "multi")
        .expect("a multi")
        .1;
    // Behind length, xid and opcode; every proper front of it.
    let body = Bytes::from(multi).slice(12..);
    for len in 0..body.len() {
        let refused =
            Request::decode_body(OpCode::Multi.as_i32(), &mut Reader::new(body.slice(..len)));
        assert!(
            matches!(
                refused,
                Err(DecodeError::Truncated { .. } | DecodeError::BadCount { .. })
            ),
            "{len}"
        );
    }
    assert!(Request::decode_body(OpCode::Multi.as_i32(), &mut Reader::new(body)).is_ok());
}

#[test]
fn bytes_behind_a_request_are_ignored() {
    for (name, frame) in common::golden(common::KAZOO) {
        let plain = Request::decode(Bytes::from(frame.clone()).slice(4..));
        let mut longer = frame;
        longer.extend(b"a field of a later version");
        assert_eq!(
            Request::decode(Bytes::from(longer).slice(4..)),
            plain,
            "{name}"
        );
    }
}

#[test]
fn a_failed_multi_names_every_operation() {
    let codes = |len, failed| {
        MultiResult::failed(len, failed, ErrorCode::NoNode)
            .into_iter()
            .map(|result| match result {
                MultiResult::Error(code) => code.code(),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(4, 1), [0, -101, -2, -2]);
    assert_eq!(codes(2, 0), [-101, -2]);
    assert_eq!(codes(1, 0), [-101]);
}

#[test]
fn permissions_are_a_set() {
    let both = Perms::READ | Perms::CREATE;
    assert!(both.contains(Perms::READ) && !both.contains(Perms::READ | Perms::WRITE));
    assert!(both.intersects(Perms::READ | Perms::WRITE) && !both.intersects(Perms::ADMIN));
    assert_eq!(Perms::ALL.to_string(), "cdrwa");
    assert_eq!(both.to_string(), "cr");
    assert_eq!(Perms::NONE.to_string(), "");
    // Bits without a meaning survive, as in ZooKeeper.
    let odd = Acl::new(Perms(0x4000_0021), "world", "anyone");
    let mut buf = BytesMut::new();
    odd.encode(&mut buf);
    assert_eq!(Acl::decode(&mut Reader::new(buf.freeze())), Ok(odd.clone()));
    assert_eq!(odd.perms.to_string(), "0x40000021");
}

#[test]
fn any_byte_but_zero_is_true_as_in_java() {
    let read = |byte: u8| Reader::new(Bytes::copy_from_slice(&[byte])).bool();
    assert_eq!(
        [0, 1, 2, 0xff].map(read),
        [Ok(false), Ok(true), Ok(true), Ok(true)]
    );
}

/// Every primitive consumes at least a byte, or fails, and no decoder looks at a byte twice but to repair malformed
/// UTF-8 once: so decoding takes linear time.
#[test]
fn every_primitive_consumes_what_it_reads() {
    type Primitive = fn(&mut Reader) -> bool;
    let primitives: [Primitive; 8] = [
        |reader| reader.i32().is_ok(),
        |reader| reader.i64().is_ok(),
        |reader| reader.bool().is_ok(),
        |reader| reader.buffer().is_ok(),
        |reader| reader.string().is_ok(),
        |reader| reader.optional_string().is_ok(),
        |reader| reader.strings().is_ok(),
        |reader| reader.list(12, Acl::decode).is_ok(),
    ];
    let mut inputs = common::Inputs::new(11);
    let mut read = 0;
    for _ in 0..20_000 {
        let input = Bytes::from(inputs.next_input());
        for primitive in primitives {
            let mut reader = Reader::new(input.clone());
            let mut left = reader.remaining();
            while primitive(&mut reader) {
                assert!(reader.remaining() < left, "{input:02x?}");
                left = reader.remaining();
                read += 1;
            }
        }
    }
    assert!(read > 1_000_000, "the inputs exercise the reader: {read}");
}
