//! A pickle assembler: opcodes as Python's pickler writes them, for payloads that nobody runs.

/// A name and its arguments, called in the way of a protocol. `true` does nothing.
pub(crate) fn call(protocol: u8, module: &str, name: &str, argument: &str) -> Vec<u8> {
    let mut out = Vec::new();
    match protocol {
        0 => {
            out.extend(format!("c{module}\n{name}\n(S'{argument}'\ntR.").bytes());
            return out;
        }
        1 => {
            out.extend(format!("c{module}\n{name}\n(").bytes());
            put_short(&mut out, b'U', argument);
            out.extend(b"tR.");
            return out;
        }
        2 | 3 => {
            out.extend([0x80, protocol]);
            out.extend(format!("c{module}\n{name}\n").bytes());
            out.push(b'X');
            out.extend((argument.len() as u32).to_le_bytes());
            out.extend(argument.bytes());
        }
        _ => {
            put_short(&mut out, 0x8c, module);
            out.push(0x94);
            put_short(&mut out, 0x8c, name);
            out.extend([0x94, 0x93, 0x94]);
            put_short(&mut out, 0x8c, argument);
            out.push(0x94);
        }
    }
    out.extend(b"\x85R.");
    if protocol >= 4 { framed(protocol, &out) } else { out }
}

fn put_short(out: &mut Vec<u8>, opcode: u8, text: &str) {
    out.extend([opcode, text.len() as u8]);
    out.extend(text.bytes());
}

/// PROTO and FRAME in front.
pub(crate) fn framed(protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0x80, protocol, 0x95];
    out.extend((body.len() as u64).to_le_bytes());
    out.extend(body);
    out
}

/// Sixty-six and more ways to run `true`, by name.
pub(crate) fn malicious() -> Vec<(String, Vec<u8>)> {
    let names = [
        ("os", "system"),
        ("posix", "system"),
        ("subprocess", "Popen"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("__builtin__", "apply"),
        ("runpy", "_run_code"),
        ("pip", "main"),
        ("timeit", "timeit"),
        ("torch.hub", "load"),
        ("bdb", "Bdb.run"),
    ];
    let mut all = Vec::new();
    for protocol in 0..=5 {
        for (module, name) in names {
            all.push((
                format!("{module}.{name} p{protocol}"),
                call(protocol, module, name, "true"),
            ));
        }
    }
    let mut tricks: Vec<(&str, Vec<u8>)> = vec![
        ("inst", b"(S'true'\nios\nsystem\n.".to_vec()),
        ("obj", b"(cos\nsystem\nS'true'\no.".to_vec()),
        ("newobj", b"\x80\x02csubprocess\nPopen\nU\x04true\x85\x81.".to_vec()),
        ("newobj_ex", framed(4, b"\x8c\x0asubprocess\x8c\x05Popen\x93\x8c\x04true\x85}\x92.")),
        ("opcodes before PROTO", b"N0\x80\x02cos\nsystem\nU\x04true\x85R.".to_vec()),
        ("names in escapes", b"\x80\x02S'\\x6fs'\nS'system'\n\x93U\x04true\x85R.".to_vec()),
        (
            "names from the memo",
            b"\x80\x04\x8c\x02os\x94\x8c\x06system\x940h\0h\x01\x93)R.".to_vec(),
        ),
        ("name computed", b"\x80\x04cbuiltins\nstr\n\x8c\x02os\x85R\x8c\x06system\x93)R.".to_vec()),
        ("second stream", b"\x80\x02K\x01.\x80\x02cos\nsystem\nU\x04true\x85R.".to_vec()),
        ("build", b"\x80\x02cposix\nsystem\nU\x04true\x85R}U\x01aK\x01sb.".to_vec()),
    ];
    let mut broken = call(4, "os", "system", "true");
    let end = broken.len() - 1;
    broken.truncate(end);
    broken.extend([0xff; 64]);
    tricks.push(("broken after the call", broken));
    let mut cut = call(2, "os", "system", "true");
    cut.pop();
    tricks.push(("cut after the call", cut));
    let mut followed = call(2, "os", "system", "true");
    followed.extend(b"\0\x01\x02 and so on");
    tricks.push(("bytes behind it", followed));
    tricks.push(("broken protocol 0", b"cos\nsystem\n(S'true'\ntR\xff\xff\xff".to_vec()));
    all.extend(tricks.into_iter().map(|(name, bytes)| (name.to_owned(), bytes)));
    all
}

/// Pickles that do no harm, as Python writes them: refused all the same.
pub(crate) fn benign() -> Vec<(&'static str, Vec<u8>)> {
    let torch_head = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}q\0\
        (X\x10\0\0\0protocol_versionq\x01M\xe9\x03u.";
    let torch = [
        &torch_head[..],
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\0((X\x07\0\0\0storageq\x01ctorch\nFloatStorage\n",
        b"q\x02X\x01\0\0\x000q\x03X\x03\0\0\0cpuq\x04K\x01tq\x05QK\0K\x01\x85K\x01\x85\x89ccollections\n",
        b"OrderedDict\n)RtR.\x80\x02]q\0X\x01\0\0\x000a.\x01\0\0\0\0\0\0\0\0\0\x80?",
    ]
    .concat();
    // NumpyArrayWrapper, then the array's bytes in the middle of the stream.
    let joblib = [
        &b"\x80\x04\x95\x50\0\0\0\0\0\0\0\x8c\x13joblib.numpy_pickle\x94\x8c\x11NumpyArrayWrapper"
            [..],
        b"\x94\x93\x94)\x81\x94}\x94\x8c\x05dtype\x94Nsb\xff\0\0\0\0\0\0\0\0\0\xf0?\x01\x02\x95.",
    ]
    .concat();
    let object =
        b"ccopy_reg\n_reconstructor\n(cmodels\nEncoder\nc__builtin__\nobject\nNtR(dS'a'\nI1\nsb.";
    vec![
        ("list 0", b"(lp0\nI1\naI2\na.".to_vec()),
        ("dict 0", b"(dp0\nS'a'\np1\nI1\ns.".to_vec()),
        ("tuple 0", b"(I1\nF2.5\nL3L\nNt.".to_vec()),
        ("unicode 0", b"(lp0\nVh\\u00e9\np1\na.".to_vec()),
        ("object 0", object.to_vec()),
        ("list 1", b"]q\0(K\x01K\x02e.".to_vec()),
        ("dict 1", b"}q\0(U\x01aq\x01K\x01U\x01bq\x02K\x02u.".to_vec()),
        ("number 2", b"\x80\x02K\x2a.".to_vec()),
        ("none 3", b"\x80\x03N.".to_vec()),
        ("bytes 3", b"\x80\x03C\x03abcq\0.".to_vec()),
        ("list 2", b"\x80\x02]q\0(K\x01K\x02e.".to_vec()),
        ("set 2", b"\x80\x02c__builtin__\nset\nq\0]q\x01K\x01a\x85q\x02Rq\x03.".to_vec()),
        ("text 4", framed(4, b"\x8c\x05hello\x94.")),
        ("set 4", framed(4, b"\x8f\x94(K\x01K\x02\x90.")),
        ("frozenset 4", framed(4, b"(K\x01K\x02\x91\x94.")),
        ("ordered 4", framed(4, b"\x8c\x0bcollections\x94\x8c\x0bOrderedDict\x94\x93\x94)R\x94.")),
        ("bytearray 5", framed(5, b"\x96\x03\0\0\0\0\0\0\0abc\x94.")),
        ("buffers 5", framed(5, b"]\x94(\x97\x98\x97e.")),
        (
            "estimator 5",
            framed(
                5,
                b"\x8c\x08sk.model\x94\x8c\x05Model\x94\x93\x94)\x81\x94}\x94\x8c\x01c\x94K\x01sb.",
            ),
        ),
        ("two dumps 2", b"\x80\x02]q\0.\x80\x02}q\0.".to_vec()),
        ("torch legacy", torch),
        ("joblib", joblib),
        ("cut 4", framed(4, b"]\x94(K\x01K\x02e.")[..16].to_vec()),
    ]
}
