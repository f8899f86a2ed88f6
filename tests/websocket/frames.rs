//! Random streams of server frames: mostly as the protocol wants them, then damaged.

use tapedeck_tests::random::Random;

/// Frames that a server might send, one after another.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) bytes: Vec<u8>,
}

impl Stream {
    /// Messages whole and in fragments, with control frames between, and perhaps a close.
    pub(crate) fn random(random: &mut Random) -> Self {
        let mut stream = Self::default();
        for _ in 0..random.below(8) {
            match random.below(4) {
                0 => stream.control(random),
                1 => stream.fragments(random),
                _ => {
                    let (opcode, payload) = message(random);
                    stream.frame(0x80 | opcode, &payload);
                }
            }
        }
        if random.below(2) == 0 {
            stream.close(random);
            if random.below(3) == 0 {
                stream.frame(0x81, b"too late");
            }
        }
        stream
    }

    fn fragments(&mut self, random: &mut Random) {
        let (opcode, payload) = message(random);
        let mut rest = payload.as_slice();
        let mut first = opcode;
        for _ in 0..random.below(4) {
            let (fragment, behind) = rest.split_at(random.below(rest.len() + 1));
            self.frame(first, fragment);
            (first, rest) = (0, behind);
            for _ in 0..random.below(3) {
                self.control(random);
            }
        }
        self.frame(0x80 | first, rest);
    }

    fn control(&mut self, random: &mut Random) {
        let bytes = random.pick(&[0, 1, 4, 124, 125]);
        let payload: Vec<u8> = (0..bytes).map(|_| random.next() as u8).collect();
        self.frame(random.pick(&[0x89, 0x8a]), &payload);
    }

    fn close(&mut self, random: &mut Random) {
        let code: u16 = match random.below(4) {
            0 => random.next() as u16,
            1 => random.pick(&[999, 1004, 1005, 1006, 1012, 1014, 1015, 1016, 2999, 5000]),
            _ => random.pick(&[1000, 1001, 1011, 3000, 4000, 4999]),
        };
        let mut payload = code.to_be_bytes().to_vec();
        let bytes = random.pick(&[0, 5, 123]);
        payload.extend_from_slice(random.text(bytes).as_bytes());
        payload.truncate(random.pick(&[0, 1, 2, 125, 125, 125]));
        self.frame(0x88, &payload);
    }

    fn frame(&mut self, first: u8, payload: &[u8]) {
        self.bytes.push(first);
        match payload.len() {
            length @ 0..=125 => self.bytes.push(length as u8),
            length @ 126..=0xffff => {
                self.bytes.push(126);
                self.bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                self.bytes.push(127);
                self.bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(payload);
    }
}

/// An opcode and its payload; one text in ten is damaged.
fn message(random: &mut Random) -> (u8, Vec<u8>) {
    let bytes = random.length();
    if random.below(4) == 0 {
        return (2, (0..bytes).map(|_| random.next() as u8).collect());
    }
    let mut text = random.text(bytes).into_bytes();
    if bytes > 0 && random.below(10) == 0 {
        let at = random.below(bytes);
        text[at] = random.pick(&[0x80, 0xc0, 0xed, 0xf4, 0xff]);
    }
    (1, text)
}

/// One or a few faults, most of them near the beginning, where the heads are.
pub(crate) fn mutate(stream: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(2) {
        let window = random.pick(&[2, 4, 12, 200, usize::MAX]).min(stream.len());
        if window == 0 {
            return;
        }
        let at = random.below(window);
        match random.below(6) {
            0 | 1 => stream[at] ^= 1 << random.below(8),
            2 => stream[at] = random.pick(&[0x00, 0x7e, 0x7f, 0x80, 0x88, 0xff]),
            3 => drop(stream.remove(at)),
            4 => {
                let long =
                    [[random.pick(&[0x00, 0x01, 0x7f, 0x80]); 1].as_slice(), &[0; 4]].concat();
                let head = [&[0x82, 0x7f], long.as_slice(), &[1, 2, 3]].concat();
                stream.splice(at..at, head);
            }
            _ => stream.truncate(at),
        }
    }
}
