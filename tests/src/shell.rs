//! `cloudhsm-cli interactive` through a pipe, a command at a time.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::process::wait_for;
use serde_json::Value;

/// A shell that runs.
pub struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
    read: usize,
}

impl Shell {
    /// Starts one: the command has the word `interactive`.
    pub fn start(command: &mut Command) -> Shell {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the shell starts");
        let input = child.stdin.take();
        let mut output = child.stdout.take().expect("its output is a pipe");
        let said = Arc::new(Mutex::new(String::new()));
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || {
                let mut bytes = [0; 4096];
                while let Ok(len @ 1..) = output.read(&mut bytes) {
                    said.lock().expect("no reader panicked").push_str(&String::from_utf8_lossy(&bytes[..len]));
                }
            }
        });
        Shell { child, input, said, read: 0 }
    }

    /// Types these lines without waiting for an answer: the command asks for more.
    pub fn type_in(&mut self, lines: &str) {
        let input = self.input.as_mut().expect("it is open");
        input.write_all(lines.as_bytes()).expect("the shell reads");
    }

    /// What it answers to these lines: one object, and its line's end.
    pub fn ask(&mut self, lines: &str) -> String {
        self.type_in(lines);
        let mut answer = None;
        wait_for("an answer of the shell", Duration::from_secs(60), || {
            let said = self.said.lock().expect("no reader panicked");
            let mut values = serde_json::Deserializer::from_str(&said[self.read..]).into_iter::<Value>();
            let whole = matches!(values.next(), Some(Ok(_)));
            let end = self.read + values.byte_offset() + 1;
            answer = Some(end).filter(|end| whole && said.len() >= *end).map(|end| said[self.read..end].to_owned());
            answer.is_some()
        });
        let answer = answer.expect("it was waited for");
        self.read += answer.len();
        answer
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // The end of input is the end of the shell.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
