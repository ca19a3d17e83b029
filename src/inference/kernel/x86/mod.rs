//! Inner loops for x86-64 processors, by what they have beyond the common base.

mod avx2;
mod avx512;
mod dots;

use super::Kernels;

/// What this processor can run, the slower first.
pub fn available() -> Vec<&'static Kernels> {
    let mut kernels = Vec::new();
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    if avx2 {
        kernels.push(&avx2::KERNELS);
    }
    let avx512 = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni");
    if avx2 && avx512 {
        kernels.push(&avx512::KERNELS);
    }
    kernels
}
