"""Words in the names of folders and files: good and bad photographs, masks, leftovers of systems.

Names are compared without case, accents, width and separators, so that ``Not-Good``, ``not_good``
and ``NOTGOOD`` are one.
"""

from __future__ import annotations

import os
import re
import unicodedata
from functools import lru_cache


@lru_cache(maxsize=4096)  # a folder is compared with all next to it
def words_of(name: str) -> tuple[str, ...]:
    """Words of a name, in small letters without accents.

    >>> words_of("NotGood_2024"), words_of("Défauts"), words_of("n.i.O.")
    (('not', 'good', '2024'), ('defauts',), ('n', 'i', 'o'))
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    plain = unicodedata.normalize("NFKD", spaced)
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return tuple(re.findall(r"[^\W\d_]+|\d+", unicodedata.normalize("NFC", letters).casefold()))


def _joined(words: str) -> frozenset[str]:
    """Comma-separated names -> each as its words without separators."""
    return frozenset("".join(words_of(name)) for name in words.split(","))


GOOD = _joined(
    "good, ok, okay, normal, normals, pass, passed, good part, good parts, conforming, conform, "
    "defect free, fault free, flawless, faultless, no defect, no defects, non defective, "
    "non defect, not defective, no anomaly, no anomalies, non anomalous, not anomalous, "
    "without defect, without defects, goods, accepted, intact, undamaged, "
    "gut, gutteil, gutteile, i.O., fehlerfrei, bon, bons, "
    "conforme, sans defaut, bueno, buenos, sin defecto, buono, buoni, "
    "conformes, normale, normali, normais, sem defeito, goed, dobry, dobre, "
    "saglam, kusursuz, ok品, "
    "良品, 合格, 合格品, 正常, 正常品, 无缺陷, 無缺陷, 良好, 好, 好品, 양품, 정상, 정상품, "
    "норма, годные, годный, хорошие, جيد, جيدة, سليم, طبيعي, ดี, ปกติ, अच्छा, תקין"
)
BAD = _joined(
    "bad, ng, nok, ko, kos, n.i.O., not ok, not good, no good, non ok, un good, abnormal, "
    "nonconforming, non conforming, nonconform, noncompliant, unacceptable, out of spec, "
    "broken, breakage, flaw, flaws, flawed, scrap, scraps, scrapped, crack, cracks, cracked, "
    "scratch, scratches, scratched, dent, dents, dented, stain, stains, stained, error, errors, "
    "wrong, outlier, outliers, fail, fails, failed, failure, failures, ausschuss, mangel, "
    "mauvais, rebut, rebuts, malo, malos, scarto, scarti, "
    "fout, kapot, zly, wadliwe, ruim, hatali, kusurlu, bozuk, ng品, "
    "次品, 废品, 坏, 坏品, 瑕疵, 划痕, 缺陷品, 欠陥品, 不具合, 결함, "
    "معيب, معيبة, تالف, عيب, عيوب, ชำรุด, ของเสีย, दोषपूर्ण, खराब, פגום, "
    "不良, 不良品, 不合格, 不合格品, 缺陷, 异常, 異常, 欠陥, 불량, 불량품, брак"
)
BAD_BEGINNINGS = tuple(
    sorted(
        _joined(
            "defect, defekt, anomal, abnormal, fault, damag, reject, fehler, schlecht, defaut, "
            "defeit, difett, rechazad, дефект"
        )
    )
)
NEGATIONS = _joined("not, no, non, un, without, free, nicht, kein, keine, ohne, sans, sin, senza")
NEUTRAL = _joined(
    "image, images, img, imgs, photo, photos, photograph, photographs, picture, pictures, part, "
    "parts, sample, samples, piece, pieces, data, dir, folder, train, training, test, testing, "
    "teil, teile, bilder"
)
MASKS = _joined(
    "mask, masks, label, labels, gt, gts, ground truth, ground truths, truth, annotation, "
    "annotations, seg, segmentation, segmentations, mask dir, gt mask, gt masks, defect mask, "
    "defect masks, anomaly mask, anomaly masks, label mask, label masks, binary masks, "
    "ground truth mask, ground truth masks, segmentation mask, segmentation masks, maske, masken"
)
SURE_OF_MASK = _joined("mask, masks, gt, ground truth")
_AFFIXES = (
    r"masks?|gt|ground[ _-]?truth|labels?|seg|segmentation|annotations?|defect[ _-]mask|"
    r"gt[ _-]mask|label[ _-]mask|ground[ _-]?truth[ _-]mask"
)
_AFTER = re.compile(rf"(?P<bare>.+?)[ ._-]+\(?(?P<affix>{_AFFIXES})\)?", re.IGNORECASE | re.DOTALL)
_BEFORE = re.compile(rf"(?P<affix>{_AFFIXES})[ ._-]+(?P<bare>.+)", re.IGNORECASE | re.DOTALL)

SYSTEM_FOLDERS = frozenset(
    {
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "recycler",
        "recycled",
        "system volume information",
        "__macosx",
        "__pycache__",
        "lost+found",
        "lost.dir",
    }
)
UNFINISHED_SUFFIXES = frozenset(
    {
        ".part",
        ".partial",
        ".crdownload",
        ".download",
        ".filepart",
        ".tmp",
        ".temp",
        ".bak",
        ".old",
        ".orig",
        ".swp",
    }
)


def is_good(name: str) -> bool:
    """Whether a name means good photographs, and says nothing else.

    >>> is_good("OK"), is_good("good_parts-2"), is_good("not_good"), is_good("good_lighting")
    (True, True, False, False)
    """
    words = words_of(name)
    if "".join(words) in GOOD:
        return True
    rest = [word for word in words if word not in NEUTRAL and not word.isdigit()]
    return "".join(rest) in GOOD


def says_good(name: str) -> bool:
    """Whether a name says good among other words, and nothing of defects.

    >>> says_good("good_lighting"), says_good("no-good"), says_good("monday")
    (True, False, False)
    """
    return is_good(name) or (not is_bad(name) and not GOOD.isdisjoint(words_of(name)))


def is_bad(name: str) -> bool:
    """Whether a name means photographs of defects, among others or alone.

    >>> [is_bad(name) for name in ("NG", "02_not-ok", "no_defects", "Bad Parts", "monday")]
    [True, True, False, True, False]
    """
    words = words_of(name)
    if is_good(name):
        return False
    if "".join(words) in BAD:
        return True
    negated = not NEGATIONS.isdisjoint(words)
    bad = any(word in BAD or word.startswith(BAD_BEGINNINGS) for word in words)
    good = not GOOD.isdisjoint(words)
    return (bad and (good or not negated)) or (good and negated)


def is_neutral(name: str) -> bool:
    """Whether a name says that there are photographs, and nothing of what they show.

    >>> is_neutral("Images"), is_neutral("photos_2"), is_neutral("bolts"), is_neutral("01")
    (True, True, False, False)
    """
    words = [word for word in words_of(name) if not word.isdigit()]
    return bool(words) and NEUTRAL.issuperset(words)


def is_mask_folder(name: str) -> bool:
    """Whether the whole name of a folder means masks.

    >>> is_mask_folder("Ground-Truth"), is_mask_folder("masks_2"), is_mask_folder("mask_holder")
    (True, True, False)
    """
    rest = [word for word in words_of(name) if not word.isdigit()]
    return "".join(rest) in MASKS


def is_sure_of_masks(name: str) -> bool:
    """Whether the name of a folder means masks and nothing that a part could be called.

    >>> is_sure_of_masks("ground_truth"), is_sure_of_masks("labels")
    (True, False)
    """
    return "".join(words_of(name)) in SURE_OF_MASK


def without_mask_affix(stem: str) -> tuple[str, bool] | None:
    """Split the name of a mask into the name that it belongs to, and whether it is sure.

    >>> without_mask_affix("007_GT"), without_mask_affix("mask_007"), without_mask_affix("007")
    (('007', True), ('007', True), None)
    >>> without_mask_affix("Part0_label")
    ('Part0', False)
    """
    match = _AFTER.fullmatch(stem) or _BEFORE.fullmatch(stem)
    if match is None:
        return None
    words = words_of(match["affix"])
    return match["bare"], "".join(words) in SURE_OF_MASK or bool(SURE_OF_MASK & set(words))


def is_left_behind(name: str) -> bool:
    """Whether a file or folder is hidden, unfinished, or left by a system and no data of a user.

    >>> is_left_behind("@eaDir"), is_left_behind("~$1.png"), is_left_behind("1.png.part")
    (True, True, True)
    """
    return (
        name.startswith((".", "~$"))
        or name.endswith("~")
        or name.casefold() in SYSTEM_FOLDERS
        or os.path.splitext(name)[1].lower() in UNFINISHED_SUFFIXES  # faster than Path
    )
