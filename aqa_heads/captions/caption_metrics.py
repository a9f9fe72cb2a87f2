"""How well captions agree with what a commentator said: BLEU, ROUGE-L, CIDEr and METEOR as the COCO captions
evaluation has them.
"""

import math
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aqa_cache.errors import MissingDependency, first_line, missing

METEOR_SECONDS = 300  # reading its paraphrases takes 10 s of a processor, 353 captions not much more

_NONE = (None, None, None, None)


@dataclass(frozen=True)
class CaptionMetrics:
    """Agreement of hypotheses with references, None where it was not computed; `notes` say why.

    Args:
        bleu: BLEU-1 to 4 of the corpus, 0 to 1.
        rouge_l: mean ROUGE-L (beta 1.2), 0 to 1.
        cider: mean CIDEr-D, 0 to 10; its word weights come from the references given.
        meteor: METEOR 1.5 of the corpus, 0 to 1.
        notes: what a person should know of these numbers, one line each.
    """

    bleu: tuple[float | None, float | None, float | None, float | None]
    rouge_l: float | None
    cider: float | None
    meteor: float | None
    notes: list[str]

    def record(self) -> dict:
        """The same as plain JSON: bleu_1 … bleu_4, rouge_l, cider, meteor, notes."""
        bleu = {f"bleu_{number}": value for number, value in enumerate(self.bleu, start=1)}
        return bleu | {
            "rouge_l": self.rouge_l,
            "cider": self.cider,
            "meteor": self.meteor,
            "notes": self.notes,
        }


def caption_metrics(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, meteor: bool = True
) -> CaptionMetrics:
    """Compare captions with what was said.

    Both sides are lower-cased and split at white space, and nothing else: the PTB tokenizer of the COCO
    evaluation needs Java, and would take `[Applause]` and "that's" apart. So numbers made with that tokenizer
    are comparable only on text without punctuation. An empty hypothesis is 0 in the means of ROUGE-L and
    CIDEr, and words that are missing in BLEU and METEOR, which add up over the corpus.

    Args:
        hypotheses: one caption per sample.
        references: per sample one or more captions, none of them empty.
        meteor: whether METEOR is computed where Java is there; starting it takes about 10 s and up to 2 GiB.

    Raises:
        MissingDependency: pycocoevalcap is not installed, or broken.

    Source: pycocoevalcap, that is Papineni 2002, Lin 2004, Vedantam 2015, Denkowski 2014.
    """
    bleu, rouge, cider = _library()
    hypotheses = [_words(text) for text in hypotheses]
    references = [[_words(text) for text in texts] for texts in references]
    assert len(hypotheses) == len(references), (
        f"{len(hypotheses)} hypotheses, {len(references)} samples' references"
    )
    assert all(texts and all(texts) for texts in references), "a sample has no reference, or an empty one"
    if not hypotheses:
        return CaptionMetrics(
            _NONE, None, None, None, ["caption metrics not computed: no sample has a reference"]
        )

    notes = []
    if empty := hypotheses.count(""):
        notes.append(
            f"{empty} of {len(hypotheses)} captions are empty: 0 in ROUGE-L and CIDEr, words that are missing"
            " in BLEU and METEOR"
        )
    hypothesis_of = {number: [text] for number, text in enumerate(hypotheses)}
    reference_of = dict(enumerate(references))
    cider_value = None
    if len(hypotheses) > 1:
        cider_value = float(cider().compute_score(reference_of, hypothesis_of)[0])
    else:
        notes.append("CIDEr not computed: with one sample no word tells samples apart, all weights are 0")
    meteor_value, why_not = _meteor(hypotheses, references) if meteor else (None, None)
    if why_not:
        notes.append(f"METEOR not computed: {why_not}")
    return CaptionMetrics(
        tuple(float(value) for value in bleu(4).compute_score(reference_of, hypothesis_of, verbose=0)[0]),
        float(rouge().compute_score(reference_of, hypothesis_of)[0]),
        cider_value,
        meteor_value,
        notes,
    )


def caption_metrics_or_why(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], *, meteor: bool = True
) -> CaptionMetrics:
    """As `caption_metrics`; where the library is missing all values are None and the note says what to
    install.
    """
    if why_not := why_no_caption_metrics():
        return CaptionMetrics(_NONE, None, None, None, [why_not])
    return caption_metrics(hypotheses, references, meteor=meteor)


def why_no_caption_metrics() -> str | None:
    """The message of the missing library, or None where caption metrics can be computed; to be asked before
    hours of training.
    """
    try:
        _library()
    except MissingDependency as error:
        return f"caption metrics not computed: {error}"
    return None


def cost_of_meteor() -> str | None:
    """What METEOR takes, where it will be computed; to be said before a training."""
    if shutil.which("java") is None or why_no_caption_metrics():
        return None
    return "METEOR of the captions is computed by Java, about 10 s a run; --no-meteor leaves it out"


def _library() -> tuple:
    """The classes of BLEU, ROUGE and CIDEr."""
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.rouge.rouge import Rouge
    except Exception as error:  # not installed, or broken
        raise missing("pycocoevalcap", "caption metrics", error, "'aqa-cache[captions]'") from error
    return Bleu, Rouge, Cider


def _words(text: str) -> str:
    return " ".join(text.lower().split())


def _meteor(hypotheses: list[str], references: list[list[str]]) -> tuple[float | None, str | None]:
    """METEOR of the corpus, or why there is none.

    The library's own class talks to Java through pipes that it waits on for ever when Java stops; its jar
    also reads files.
    """
    java = shutil.which("java")
    if java is None:
        return None, "Java is not installed"
    most = max(map(len, references))
    # Every sample needs as many; the best one counts, so saying one again changes nothing.
    references = [text for texts in references for text in [*texts, *texts[:1] * (most - len(texts))]]
    try:
        from pycocoevalcap.meteor import meteor

        with tempfile.TemporaryDirectory() as folder:
            hypothesis_file, reference_file = Path(folder, "hypotheses.txt"), Path(folder, "references.txt")
            hypothesis_file.write_text("".join(text + "\n" for text in hypotheses), encoding="utf-8")
            reference_file.write_text("".join(text + "\n" for text in references), encoding="utf-8")
            jar = Path(meteor.__file__).with_name(meteor.METEOR_JAR)
            command = [
                java,
                "-Xmx2G",
                "-XX:+UseSerialGC",
                "-Dfile.encoding=UTF-8",
                "-jar",
                jar,
                hypothesis_file,
                reference_file,
            ]
            command += ["-l", "en", "-norm", "-r", str(most), "-q"]
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=METEOR_SECONDS, check=False
            )
    except subprocess.TimeoutExpired:
        return None, f"it took longer than {METEOR_SECONDS} s"
    except Exception as error:  # no place for the files, no memory for a process, a library without its parts
        return None, f"Java could not be run: {first_line(error)}"
    text = done.stdout.decode(errors="replace").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if done.returncode or not 0 <= value <= 1:
        complaint = done.stderr.decode(errors="replace").strip() or text or "it printed nothing"
        return None, f"Java stopped with exit code {done.returncode}: {complaint.splitlines()[0]}"
    return value, None
