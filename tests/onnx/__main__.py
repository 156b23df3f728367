"""Write `docs/onnx.md` anew."""

from .cases import TABLE, cases, run, table

if __name__ == "__main__":
    TABLE.write_text(table([run(case) for case in cases()]))
