//! The time of day, as ids and lists write it. Everyone else asks here.

/// Now, in UTC, as `YYYYMMDD-HHMMSS`: sorts by age and is easy to type.
pub fn stamp() -> String {
    jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string()
}

/// Milliseconds since the Unix epoch. A clock before 1970 is shown as 1970.
pub fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}
