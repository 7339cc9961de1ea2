//! A client that sets and reads shared znodes, with its requests in a pipeline, and takes its
//! session from node to node.

use innkeeper_proto::{ErrorCode, OpCode};

use super::super::super::common::{get, set};
use super::super::caller::Caller;
use super::{REGISTERS, confirmed_read, data, leave, register, stat};

/// It rests up to so long between two rounds.
const REST_MS: u64 = 80;

/// A request in the pipeline.
enum Sent {
    Set { key: u64, value: u64 },
    Get { key: u64 },
}

pub async fn run(mut caller: Caller) {
    let mut values = caller.number as u64 * 1_000_000;
    while !caller.history.is_over() {
        match caller.draw(12) {
            0 => caller.hang_up(),
            1..4 => {
                let key = caller.draw(REGISTERS);
                confirmed_read(&mut caller, key).await;
            }
            _ => pipeline(&mut caller, &mut values).await,
        }
        caller.rest(REST_MS).await;
    }
    leave(caller).await;
}

async fn pipeline(caller: &mut Caller, values: &mut u64) {
    let count = 1 + caller.draw(5);
    let sent = (0..count).map(|_| {
        let key = caller.draw(REGISTERS);
        if caller.draw(2) == 0 {
            *values += 1;
            return Sent::Set {
                key,
                value: *values,
            };
        }
        Sent::Get { key }
    });
    let sent: Vec<_> = sent.collect();
    let requests = sent.iter().map(|sent| match sent {
        Sent::Set { key, value } => set(&register(*key), value.to_string().as_bytes()),
        Sent::Get { key } => get(&register(*key), false),
    });
    let requests: Vec<_> = requests.collect();
    let talk = caller.ask(&requests).await;
    let session = caller.session().expect("it was answered");
    for (answer, sent) in talk.answers().zip(sent) {
        assert_eq!(answer.err, ErrorCode::Ok, "{answer:?}");
        caller.history.note(|all| match sent {
            Sent::Set { key, value } => {
                let stat = stat(OpCode::SetData, answer);
                assert_eq!(stat.mzxid, answer.zxid, "{answer:?}");
                all.counts.set += 1;
                all.real_time.wrote(talk.begun.known, answer.zxid);
                all.registers.wrote(session, key, value, &stat);
            }
            Sent::Get { key } => {
                let (value, stat) = data(answer);
                all.counts.plain_reads += 1;
                all.registers.read(session, key, value, &stat, answer.zxid);
            }
        });
    }
}
