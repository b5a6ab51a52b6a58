//! Arguments of `config`.

/// Output format of `config`.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub enum ConfigCommand {
    /// Print a JSON schema, for editors
    Schema,
    /// Print a reference of every key, in Markdown
    Reference,
}
