//! Numbers and bytes in pages: LEB128 in the shortest form.

use super::CatalogError;

/// Reads from the front; asks for more than there is are errors.
pub(super) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// How many bytes are left.
    pub(super) fn left(&self) -> usize {
        self.left.len()
    }

    pub(super) fn byte(&mut self) -> Result<u8, CatalogError> {
        let (byte, left) = self.left.split_first().ok_or(CatalogError::Cut)?;
        self.left = left;
        Ok(*byte)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], CatalogError> {
        let (bytes, left) = self.left.split_at_checked(count).ok_or(CatalogError::Cut)?;
        self.left = left;
        Ok(bytes)
    }

    pub(super) fn digest(&mut self) -> Result<[u8; 32], CatalogError> {
        let (digest, left) = self.left.split_first_chunk().ok_or(CatalogError::Cut)?;
        self.left = left;
        Ok(*digest)
    }

    /// A number in its shortest form: seven bits a byte, the lowest first.
    pub(super) fn number(&mut self) -> Result<u64, CatalogError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(CatalogError::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                // A last byte of zero adds nothing: the number has a shorter form.
                return if byte == 0 && shift > 0 { Err(CatalogError::Number) } else { Ok(number) };
            }
        }
        Err(CatalogError::Number)
    }

    /// A number that counts something in memory.
    pub(super) fn length(&mut self) -> Result<usize, CatalogError> {
        usize::try_from(self.number()?).map_err(|_too_large| CatalogError::Number)
    }
}

/// Writes a number in its shortest form.
pub(super) fn put_number(bytes: &mut Vec<u8>, number: impl TryInto<u64>) {
    let mut number = number.try_into().unwrap_or(u64::MAX);
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0x7f);
        number >>= 7;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn must_reject() {
        let table: [(&[u8], bool); 9] = [
            (&[], true),
            (&[0x80], true),
            (&[0x80, 0x80], true),
            (&[0x80, 0x00], false),
            (&[0xff, 0x00], false),
            (&[0xff; 10], false),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], false),
            (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01], false),
            (&[0x81, 0x80, 0x00], false),
        ];
        for (bytes, is_cut) in table {
            match Reader::new(bytes).number() {
                Err(CatalogError::Cut) => assert!(is_cut, "{bytes:?}"),
                Err(CatalogError::Number) => assert!(!is_cut, "{bytes:?}"),
                other => panic!("{bytes:?}: {other:?}"),
            }
        }
        assert!(matches!(Reader::new(&[1; 31]).digest(), Err(CatalogError::Cut)));
        assert!(matches!(Reader::new(&[1; 31]).bytes(32), Err(CatalogError::Cut)));
    }

    proptest! {
        #[test]
        fn numbers_come_back(number: u64, shift in 0_u32..64) {
            let number = number >> shift;
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.number().unwrap(), number);
            prop_assert_eq!(reader.left(), 0);
        }
    }
}
