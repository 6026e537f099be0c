//! The fields of the index. What is in it is a private matter of this room: when it changes,
//! [`VERSION`] goes up, and every index is built again.

use tantivy::Index;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, JsonObjectOptions, Schema, TextFieldIndexing,
    TextOptions,
};
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};

use super::text::{self, fold};

/// The version of fields and tokens.
pub(super) const VERSION: u32 = 2;

/// The path of the strings whose words are in a field of their own. They are most of all words, and are
/// indexed once in place of twice.
pub(super) const BODY: &str = "content.text";

/// Stands between a path or a key and what is there, in a token.
pub(super) const BETWEEN: char = '\u{0}';

/// The fields.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    pub(super) schema: Schema,
    /// The record's number.
    pub(super) seq: Field,
    /// When the server took it, in nanoseconds since 1970.
    pub(super) received: Field,
    /// When it happened, in nanoseconds since 1970.
    pub(super) occurred: Field,
    /// The status of an API call.
    pub(super) status: Field,
    pub(super) user: Field,
    pub(super) session: Field,
    pub(super) agent: Field,
    pub(super) tool: Field,
    pub(super) kind: Field,
    pub(super) flag: Field,
    pub(super) model: Field,
    pub(super) call_id: Field,
    pub(super) host: Field,
    pub(super) method: Field,
    pub(super) url_path: Field,
    /// Key, [`BETWEEN`], value.
    pub(super) label: Field,
    pub(super) delegation: Field,
    pub(super) trace: Field,
    /// Keyed digests of the documents in it.
    pub(super) document: Field,
    /// The words of the string that most content is: `content.text`.
    pub(super) body: Field,
    /// The words of all other strings.
    pub(super) text: Field,
    /// Path, [`BETWEEN`], word: every word that is in `text` again, but without its position, which
    /// would cost as much again.
    pub(super) member: Field,
    /// Every path that there is, and every path above it.
    pub(super) path: Field,
    /// The numbers, by path.
    pub(super) number: Field,
}

impl Fields {
    pub(super) fn new() -> Self {
        let mut schema = Schema::builder();
        let words = |tokenizer: &str, record: IndexRecordOption| {
            let indexing = TextFieldIndexing::default().set_tokenizer(tokenizer);
            let indexing = indexing.set_fieldnorms(false).set_index_option(record);
            TextOptions::default().set_indexing_options(indexing)
        };
        let with_positions = IndexRecordOption::WithFreqsAndPositions;
        let name = |tokenizer: &str| words(tokenizer, IndexRecordOption::Basic);
        let counted = |tokenizer: &str| name(tokenizer).set_fast("raw");
        Self {
            seq: schema.add_u64_field("seq", FAST),
            received: schema.add_i64_field("received", FAST),
            occurred: schema.add_i64_field("occurred", FAST),
            status: schema.add_u64_field("status", FAST),
            user: schema.add_text_field("user", counted(FOLDED)),
            session: schema.add_text_field("session", counted("raw")),
            agent: schema.add_text_field("agent", counted(FOLDED)),
            tool: schema.add_text_field("tool", counted(FOLDED)),
            kind: schema.add_text_field("kind", counted("raw")),
            flag: schema.add_text_field("flag", counted("raw")),
            model: schema.add_text_field("model", name(FOLDED)),
            call_id: schema.add_text_field("call_id", name("raw")),
            host: schema.add_text_field("host", name(FOLDED)),
            method: schema.add_text_field("method", name(FOLDED)),
            url_path: schema.add_text_field("url_path", name("raw")),
            label: schema.add_text_field("label", name("raw")),
            delegation: schema.add_text_field("delegation", name("raw")),
            trace: schema.add_text_field("trace", name("raw")),
            document: schema.add_u64_field("document", INDEXED),
            body: schema.add_text_field("body", words(WORDS, with_positions)),
            text: schema.add_text_field("text", words(WORDS, with_positions)),
            member: schema.add_text_field("member", name(MEMBERS)),
            path: schema.add_text_field("path", name("raw")),
            number: schema.add_json_field("number", JsonObjectOptions::default().set_fast("raw")),
            schema: schema.build(),
        }
    }
}

const FOLDED: &str = "folded";
const WORDS: &str = "words";
const MEMBERS: &str = "members";

/// Makes an index know how its text becomes tokens.
pub(super) fn register_tokenizers(index: &Index) {
    let tokenizers = index.tokenizers();
    tokenizers.register(FOLDED, TextAnalyzer::from(Folded));
    tokenizers.register(WORDS, TextAnalyzer::from(Words));
    tokenizers.register(MEMBERS, TextAnalyzer::from(Members));
}

/// One token: the folded text.
#[derive(Clone)]
struct Folded;

impl Tokenizer for Folded {
    type TokenStream<'a> = Once;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Once {
        let token = Token { text: fold(text).into_owned(), position: 0, ..Token::default() };
        Once { token, done: false }
    }
}

struct Once {
    token: Token,
    done: bool,
}

impl TokenStream for Once {
    fn advance(&mut self) -> bool {
        !std::mem::replace(&mut self.done, true)
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

/// The words of a text.
#[derive(Clone)]
struct Words;

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { words: text::words(text), start: 0, token: Token::default() }
    }
}

/// The words of a text behind a path, each with the path before it.
#[derive(Clone)]
struct Members;

impl Tokenizer for Members {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        let start = text.find(BETWEEN).map_or(0, |at| at + BETWEEN.len_utf8());
        let (path, value) = text.split_at(start);
        let token = Token { text: path.to_owned(), ..Token::default() };
        WordStream { words: text::words(value), start, token }
    }
}

struct WordStream<'a> {
    words: text::Words<'a>,
    /// Bytes of the token that stay.
    start: usize,
    token: Token,
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text.truncate(self.start);
        self.token.text.push_str(&word.folded);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
