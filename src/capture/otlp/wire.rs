//! Protocol buffers, as far as telemetry needs them: fields of a message, one after the other.
//!
//! Nothing is built up that the caller does not take, so what a hostile message costs is bounded by what
//! the caller is ready to take of it.

/// The bytes are no protocol buffers, or not of the message that they are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotWire;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire<'a> {
    /// An integer or an enumeration.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// The fields of a message, in the order in which they stand in it.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) const fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn field(&mut self) -> Result<(u64, Wire<'a>), NotWire> {
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 {
            return Err(NotWire);
        }
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(fixed64(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| NotWire)?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(fixed32(self.array()?)),
            _ => return Err(NotWire),
        };
        Ok((number, value))
    }

    fn varint(&mut self) -> Result<u64, NotWire> {
        let mut value = 0u64;
        for place in 0..10 {
            let (byte, rest) = self.rest.split_first().ok_or(NotWire)?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if place == 9 && *byte > 1 {
                return Err(NotWire);
            }
            value |= bits << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(NotWire)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], NotWire> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(NotWire)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], NotWire> {
        self.take(BYTES)?.try_into().map_err(|_| NotWire)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), NotWire>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

impl<'a> Wire<'a> {
    pub(super) const fn bytes(self) -> Result<&'a [u8], NotWire> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed64(_) | Self::Fixed32(_) => Err(NotWire),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, NotWire> {
        std::str::from_utf8(self.bytes()?).map_err(|_| NotWire)
    }

    pub(super) const fn varint(self) -> Result<u64, NotWire> {
        match self {
            Self::Varint(value) => Ok(value),
            Self::Fixed64(_) | Self::Bytes(_) | Self::Fixed32(_) => Err(NotWire),
        }
    }

    pub(super) const fn fixed64(self) -> Result<u64, NotWire> {
        match self {
            Self::Fixed64(value) => Ok(value),
            Self::Varint(_) | Self::Bytes(_) | Self::Fixed32(_) => Err(NotWire),
        }
    }
}

#[expect(clippy::little_endian_bytes, reason = "protocol buffers are little-endian")]
const fn fixed64(bytes: [u8; 8]) -> u64 {
    u64::from_le_bytes(bytes)
}

#[expect(clippy::little_endian_bytes, reason = "protocol buffers are little-endian")]
const fn fixed32(bytes: [u8; 4]) -> u32 {
    u32::from_le_bytes(bytes)
}
