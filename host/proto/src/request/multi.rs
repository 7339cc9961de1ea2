//! The body of a multi: a header before each operation, and a last header that says "done".

use bytes::BytesMut;

use super::{Create, CreateTtl, PathVersion, SetData};
use crate::OpCode;
use crate::codec::{DecodeError, Reader, put_bool};
use bytes::BufMut;

/// The header before each operation of a multi, and before each result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct MultiHeader {
    pub op: i32,
    pub done: bool,
    pub err: i32,
}

impl MultiHeader {
    /// The header after the last operation.
    pub const END: Self = Self {
        op: -1,
        done: true,
        err: -1,
    };

    /// The header before an operation of a request.
    pub const fn before(op: OpCode) -> Self {
        Self {
            op: op.as_i32(),
            done: false,
            err: -1,
        }
    }

    pub fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            op: reader.i32()?,
            done: reader.bool()?,
            err: reader.i32()?,
        })
    }

    pub fn encode(self, buf: &mut BytesMut) {
        buf.put_i32(self.op);
        put_bool(buf, self.done);
        buf.put_i32(self.err);
    }
}

/// The body of multi: several writes, of which all are done, or none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Multi {
    /// The operations, in their order.
    pub ops: Vec<MultiOp>,
}

/// One operation of a multi.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MultiOp {
    /// Create a znode; answers its path.
    Create(Create),
    /// Create a znode; answers its path and stat.
    Create2(Create),
    /// Create a container; answers its path and stat.
    CreateContainer(Create),
    /// Create a znode with a time to live; answers its path and stat.
    CreateTtl(CreateTtl),
    /// Delete a znode.
    Delete(PathVersion),
    /// Replace a znode's data.
    SetData(SetData),
    /// Go on only if the znode exists and has this version.
    Check(PathVersion),
}

impl MultiOp {
    /// The operation.
    pub const fn op_code(&self) -> OpCode {
        match self {
            Self::Create(_) => OpCode::Create,
            Self::Create2(_) => OpCode::Create2,
            Self::CreateContainer(_) => OpCode::CreateContainer,
            Self::CreateTtl(_) => OpCode::CreateTtl,
            Self::Delete(_) => OpCode::Delete,
            Self::SetData(_) => OpCode::SetData,
            Self::Check(_) => OpCode::Check,
        }
    }

    /// The path in the operation.
    pub fn path(&self) -> &str {
        match self {
            Self::Create(create) | Self::Create2(create) | Self::CreateContainer(create) => {
                &create.path
            }
            Self::CreateTtl(create) => &create.path,
            Self::Delete(op) | Self::Check(op) => &op.path,
            Self::SetData(set) => &set.path,
        }
    }
}

impl Multi {
    /// Reads the operations. A multi inside a multi is refused, as is every operation that is not a
    /// write, so that decoding does not recurse. (test: `a_multi_inside_a_multi_is_refused`)
    pub(super) fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut ops = Vec::new();
        loop {
            let header = MultiHeader::decode(reader)?;
            if header.done {
                return Ok(Self { ops });
            }
            let refused = DecodeError::NotInMulti { op: header.op };
            ops.push(match OpCode::from_i32(header.op).ok_or(refused)? {
                OpCode::Create => MultiOp::Create(Create::decode(reader)?),
                OpCode::Create2 => MultiOp::Create2(Create::decode(reader)?),
                OpCode::CreateContainer => MultiOp::CreateContainer(Create::decode(reader)?),
                OpCode::CreateTtl => MultiOp::CreateTtl(CreateTtl::decode(reader)?),
                OpCode::Delete => MultiOp::Delete(PathVersion::decode(reader)?),
                OpCode::SetData => MultiOp::SetData(SetData::decode(reader)?),
                OpCode::Check => MultiOp::Check(PathVersion::decode(reader)?),
                _ => return Err(refused),
            });
        }
    }

    pub(super) fn encode(&self, buf: &mut BytesMut) {
        for op in &self.ops {
            MultiHeader::before(op.op_code()).encode(buf);
            match op {
                MultiOp::Create(create)
                | MultiOp::Create2(create)
                | MultiOp::CreateContainer(create) => create.encode(buf),
                MultiOp::CreateTtl(create) => create.encode(buf),
                MultiOp::Delete(op) | MultiOp::Check(op) => op.encode(buf),
                MultiOp::SetData(set) => set.encode(buf),
            }
        }
        MultiHeader::END.encode(buf);
    }
}
