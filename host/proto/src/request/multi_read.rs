//! The body of a multiRead: like the one of a multi, with reads in place of writes.

use bytes::BytesMut;
use bytestring::ByteString;

use super::MultiHeader;
use crate::OpCode;
use crate::codec::{DecodeError, Reader, put_bool, put_string};

/// Several reads of the state at one zxid. Each has its own result or error.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MultiRead {
    /// The reads, in their order.
    pub ops: Vec<ReadOp>,
}

/// One read of a multiRead.
///
/// In messages each read has a flag for a watch. It is ignored, as in ZooKeeper.
/// (test: `a_multi_read_sets_no_watches`)
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadOp {
    /// A znode's data and stat.
    GetData(ByteString),
    /// The names of a znode's children.
    GetChildren(ByteString),
}

impl ReadOp {
    /// The operation.
    pub const fn op_code(&self) -> OpCode {
        match self {
            Self::GetData(_) => OpCode::GetData,
            Self::GetChildren(_) => OpCode::GetChildren,
        }
    }

    /// The path of the read.
    pub const fn path(&self) -> &ByteString {
        match self {
            Self::GetData(path) | Self::GetChildren(path) => path,
        }
    }
}

impl MultiRead {
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut ops = Vec::new();
        loop {
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(Self { ops });
            }
            let (op, refused) = (header.op, DecodeError::NotInMulti { op: header.op });
            let read = match OpCode::from_i32(op) {
                Some(OpCode::GetData) => ReadOp::GetData,
                Some(OpCode::GetChildren) => ReadOp::GetChildren,
                _ => return Err(refused),
            };
            ops.push(read(reader.path()?));
            reader.bool()?;
        }
    }

    pub(super) fn encode(&self, buf: &mut BytesMut) {
        for op in &self.ops {
            MultiHeader::before(op.op_code()).encode(buf);
            put_string(buf, op.path());
            put_bool(buf, false);
        }
        MultiHeader::END.encode(buf);
    }
}
