//! The application of the swap suites: one processor, `stamp`, which marks records with the tag in its settings and counts
//! them by key.

/// Its manifest, without `[kafka]`; `more` goes into the processor's section. The first version's tag is 1.
pub fn manifest(application: &str, component: &str, partitions: i32, more: &str) -> String {
    format!(
        r#"
application = "{application}"
[topics.in]
partitions = {partitions}
[topics.out]
partitions = {partitions}
[processors.stamp]
component = "{component}"
inputs = ["in"]
outputs = ["out"]
settings = {{ tag = "1" }}
{more}
[processors.stamp.stores.counts]
"#
    )
}
