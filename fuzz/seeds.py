#!/usr/bin/env python3
"""Small valid files for each fuzz target to start from, into `seeds/TARGET/`.

Needs Pillow and onnx: `python3 fuzz/seeds.py` (from anywhere). The files are in the repository.
"""

import gzip
import io
import json
import struct
import tarfile
import zlib
from pathlib import Path

from onnx import TensorProto, helper
from PIL import Image

FOLDER = Path(__file__).parent / "seeds"


def put(target, name, content):
    path = FOLDER / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def archive():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in [("fine_label_names.txt", b"a\nb\n"), ("test.bin", b""), ("train.bin", b"")]:
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    # The blocks of zeros that pad the end are of no use.
    return packed.getvalue()[:3072]


def images():
    image = Image.new("RGB", (5, 3))
    image.putdata([(40 * x, 70 * y, 9 * x * y) for y in range(3) for x in range(5)])
    for kind, more in [("png", {}), ("webp", {"lossless": True}), ("jpeg", {"quality": 50}),
                       ("bmp", {}), ("gif", {})]:
        packed = io.BytesIO()
        image.save(packed, kind, **more)
        put("image", f"small.{kind}", packed.getvalue())


def network():
    metadata = {
        "metadata_version": 1, "version": "0", "name": "a",
        "input": {"channels": 1, "height": 2, "width": 2, "border": 0, "resize": "triangle",
                  "layout": "nchw", "mean": [0.5], "deviation": [0.5]},
        "classes": ["a", "b"], "exits": [{"name": "deepest", "params": 1, "macs": 1}],
        "ensemble": False, "deployed_macs": 1, "configuration": "", "configuration_sha256": "",
    }
    weight = helper.make_tensor("w", TensorProto.FLOAT, [2, 1, 2, 2], struct.pack("<8f", *range(8)), raw=True)
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["map"], kernel_shape=[2, 2]),
        helper.make_node("Flatten", ["map"], ["logits"], axis=1),
    ]
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "g", [value("images", ["N", 1, 2, 2])], [value("logits", ["N", 2])], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"selfdistill": json.dumps(metadata)})
    for target in ["onnx_metadata", "onnx_network"]:
        put(target, "conv.onnx", model.SerializeToString())
    put("onnx_metadata", "metadata.json", json.dumps(metadata))
    metadata["input"].update(channels=3, resize={"shorter_side": {"pixels": 3}}, mean=[0.5] * 3, deviation=[0.5] * 3)
    put("onnx_metadata", "square.json", json.dumps(metadata))


def records():
    accuracy = {"name": "deepest", "top1": 0.5, "top5": 1.0, "loss": None}
    cost = {"params": 1, "macs": 2}
    scores = {"test_top1": 0.5, "test_top5": None, "test_loss": 1.0}
    summary = {
        "schema_version": 1, "status": "finished", "name": "a", "model": "b", "dataset": "c",
        "objective": "d", "seed": 0, "epochs": 1, "steps": 1, "exits": [{"name": "deepest", **scores, **cost}],
        "ensemble": scores, "deployed": cost, "framework": cost, "dense_original": None,
        "best": {"epoch": 1, "valid_top1": 0.5, "exits": [accuracy], "ensemble": accuracy},
        "images_per_second": 1.0, "seconds": 1e3,
    }
    epoch = {
        "epoch": 1, "step": 1, "learning_rate": 0.1, "seconds": 1.0, "images_per_second": 1.0, "loss": 1.5,
        "terms": {"label": 1.5}, "train": [accuracy], "valid": {"exits": [accuracy], "ensemble": accuracy},
    }
    exit = {
        "name": "deepest", "top1": 1.0, "top5": 1.0, "loss": 0.5, "calibration_error": 0.5,
        "bins": [{"images": 0}] * 14 + [{"images": 2, "confidence": 1.0, "accuracy": 0.5}],
        "class_accuracy": [0.5, None], "confusion": [[1, 1], [0, 0]],
    }
    setting = {"value": 0.5, **{split: {"top1": 1.0, "macs": 2.0, "left_at": [2]} for split in ["valid", "test"]}}
    evaluation = {
        "schema_version": 1, "split": "test", "weights": "a", "images": 2, "classes": ["a", "b"],
        "mean": [0.5], "deviation": [0.5], "exits": [exit], "ensemble": exit,
        "early_exit": {
            "valid_images": 2, "deepest_macs": 2, "exit_macs": [2],
            "curves": [{"rule": "alone", "settings": [setting]}],
            "budgets": [{"share": 0.5, "choices": [{"rule": "entropy", "setting": setting}]}],
        },
    }
    time = {"batch": 1, "peak_memory_bytes": None}
    seconds = {"raw_seconds": [0.5, 1.5]}
    peer = {
        "schema_version": 1, "subject": "infer", "program": "a", "command": "b", "started": "c",
        "host": {"os": "d", "cpu": "e", "cores": 1, "memory_bytes": None, "commit": None}, "threads": 1, "device": "cpu",
        "measurements": [{"config": "f", "part": "deepest", "mode": "native", "precision": "f32", "layout": "g",
                          "images": 1, "timing": seconds, **time}],
    }
    exported = {"model": "deepest", "engine": "rten", "threads": 1, "load_seconds": 0.5, "share": 1.0, **seconds,
                **time}
    deployment = {
        "schema_version": 1, "command": "a", "program_bytes": 9,
        "models": [{"name": "deepest", "bytes": 5, "top1": {"rten": 0.5}, "macs_share": 1.0}],
        "rounds": [{"exported": [exported], "first_label_seconds": {"rten": [0.5]}, "peers": [peer]}],
    }
    put("record", "summary.json", "\0" + json.dumps(summary))
    put("record", "epochs.jsonl", "\1" + (json.dumps(epoch) + "\n") * 2)
    put("record", "evaluation.json", "\2" + json.dumps(evaluation))
    image = {"split": "valid", "index": 2, "label": 0}
    mistakes = {
        "schema_version": 1, "weights": "model.safetensors", "classes": ["a", "b"],
        "splits": [{"split": "valid", "images": 4, "mistakes": 1}],
        "mistakes": [image | {"predicted": 1, "confidence": 0.9, "png": "aGk="}],
        "duplicate_groups": 1, "duplicates": [[image, image | {"split": "test", "file": "a.png"}]],
    }
    calibration = {
        "schema_version": 1, "weights_sha256": "a", "images": 2,
        "feature_maps": {"map": {"minmax": [-1.5, 2.0], "percentile": [-1.0, 1.0]}},
    }
    put("record", "deploy.json", "\3" + json.dumps(deployment))
    put("record", "latency.json", "\4" + json.dumps(peer))
    put("record", "calibration.json", "\5" + json.dumps(calibration))
    put("record", "mistakes.json", "\6" + json.dumps(mistakes))


def weights():
    header = json.dumps({
        "__metadata__": {"experiment": "a"},
        "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
        "b": {"dtype": "I64", "shape": [], "data_offsets": [8, 16]},
    })
    header += " " * (-len(header) % 8)
    put("safetensors", "two.safetensors", struct.pack("<Q", len(header)) + header.encode() + bytes(16))


def shard():
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in [("a/b.jpg", b"1"), ("a/b.cls", b"1"), ("c.png", b"2"), ("c.json", b'{"label":0}')]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    # Two empty blocks are an end.
    put("shard", "two.tar", packed.getvalue()[:9 * 512])
    sparse = tarfile.TarInfo("a.jpg")
    sparse.type = tarfile.GNUTYPE_SPARSE
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = header[483:495] = b"\x80\0\0\0" + b"\xff" * 8
    header[398:410] = b"0" * 11 + b"\0"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    put("shard", "sparse.tar", bytes(header) + bytes(1024))


def packed():
    """See `sd_data::pack::fuzzing`."""
    png = io.BytesIO()
    Image.new("RGB", (2, 2)).save(png, "png")
    forms = [("pixels", "pixels"), ("files", "files"), ("jpeg", {"jpeg": 90})]
    for name, form in forms:
        image, original = (bytes(range(30)), [2, 3]) if name == "pixels" else (png.getvalue(), None)
        entry = {
            "name": "a.png", "bytes": 9, "label": 1, "pixels": 1, "offset": 8, "length": len(image),
            "checksum": zlib.crc32(image), "original": original,
        }
        index = {
            "settings": {"data_set": "a", "form": form, "side": 2, "shorter_side": 2, "crops": True, "crop_from": None},
            "class_names": ["a", "b"],
            "splits": [
                {"split": "train", "order": {"shards": [1, 0], "buffer": 1}, "images": [entry, entry | {"label": 0}]},
                {"split": "test", "order": {"shards": [], "buffer": 0}, "images": [entry]},
            ],
            "skipped": [],
        }
        assert len(image) <= 96
        put("packed", name, image.ljust(96, b"\0") + json.dumps(index).encode())


def main():
    put("cifar", "one.bin", bytes(3073))
    put("cifar", "two.bin", bytes(6148))
    put("cifar_archive", "empty.tar", archive())
    put("csv_manifest", "two.csv", 'path,label,split\ncats/a.jpg,cat,train\n"b,c.png", dog ,test\n')
    put("data_config", "idx.toml", "dataset.idx = { folder = 'a', classes = 3 }\npad = 2\n"
        "validation = { fraction = 0.1, seed = 0 }\naugment = [{ pad_crop = { padding = 4 } }, { flip = {} }, "
        "{ cutout = { side = 8 } }]\nnormalize.given = { mean = [0.5], std = [0.25] }\n")
    put("data_config", "folder.toml", "[dataset.image_folder]\nfolder = 'a'\nclasses = 2\n"
        "images = { side = 64, shorter_side = 72, memory_gb = 1 }\n[[augment]]\nauto_augment = {}\n")
    put("data_config", "shards.toml", "augment = [{ random_resized_crop = {} }]\n[dataset.shards]\ntrain = 'a-{00..12}.tar'\n"
        "classes = 2\nbuffer = 9\nimages = { side = 64, storage = { packed = 'a.pack' }, crop_from = 80, memory_gb = 1 }\n")
    images_of = struct.pack(">4I", 0x0803, 2, 2, 3) + bytes(range(12))
    put("idx", "images", b"\0" + images_of)
    put("idx", "images.gz", b"\1" + gzip.compress(images_of, mtime=0))
    put("idx", "labels", b"\2" + struct.pack(">2I", 0x0801, 3) + b"\0\1\2")
    put("setting", "change.toml", "a.b=[1, 2]\nname = 'x'\n[a]\nb = 3\nc = { d = 1.5, e = true }\n")
    images()
    network()
    packed()
    records()
    shard()
    weights()


if __name__ == "__main__":
    main()
