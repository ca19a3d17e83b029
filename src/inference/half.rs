//! 16-bit floats: IEEE half precision and bfloat16, converted in software.
//!
//! The kernels use the processor's instructions where it has them; this is what they are tested against.

/// Half precision to single, exact for every value.
pub fn from_f16(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let sign = u32::from(bits & 0x8000) << 16;
    let value = if bits & 0x7c00 == 0x7c00 {
        magnitude | 0x7f80_0000
    } else {
        // 2^112 moves the exponent's bias from 15 to 127, and makes normal numbers of subnormal ones.
        (f32::from_bits(magnitude) * f32::from_bits(0x7780_0000)).to_bits()
    };
    f32::from_bits(value | sign)
}

/// Single precision to half, rounded to the nearest, ties to even; too large becomes infinite.
pub fn to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    let half = if magnitude > 0x7f80_0000 {
        0x7e00
    } else if magnitude >= 0x4780_0000 {
        0x7c00
    } else if magnitude < 0x3880_0000 {
        // Below the normal halves: adding 0.5 leaves the multiple of 2^-24 in the lowest bits, rounded.
        (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits()
    } else {
        (magnitude - 0x3800_0000 + 0xfff + (magnitude >> 13 & 1)) >> 13
    };
    sign | half as u16
}

/// bfloat16 to single: the upper half of its bits.
pub fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_a_round_trip() {
        for bits in 0..=u16::MAX {
            let value = from_f16(bits);
            if value.is_nan() {
                assert!(from_f16(to_f16(value)).is_nan());
            } else {
                assert_eq!(to_f16(value), bits, "{value}");
            }
        }
    }

    #[test]
    fn between_two_halves_the_nearer_or_the_even_one_is_taken() {
        for bits in (0..0x7bff_u16).chain(0x8000..0xfbff) {
            let (low, high) = (from_f16(bits), from_f16(bits + 1));
            let middle = (low + high) / 2.0;
            assert_eq!(to_f16(middle), bits + (bits & 1), "{middle}");
            assert_eq!(to_f16((low + middle) / 2.0), bits);
            assert_eq!(to_f16((high + middle) / 2.0), bits + 1);
        }
        assert_eq!(to_f16(65520.0), 0x7c00);
        assert_eq!(to_f16(65519.0), 0x7bff);
        assert_eq!(to_f16(f32::NEG_INFINITY), 0xfc00);
        assert_eq!(from_f16(0x3c00), 1.0);
        assert_eq!(from_f16(1), 2f32.powi(-24));
    }

    #[test]
    fn bfloat_is_the_upper_half() {
        assert_eq!(from_bf16(0x3fc0), 1.5);
    }
}
