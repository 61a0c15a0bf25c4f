"""What a reader's tests ask of one result: that it is a document, or that it is quarantined and why."""

from collections.abc import Sequence

from jpfm.data.document import Document, Quarantined


def document(found: Sequence[Document | Quarantined]) -> Document:
    """The one document that was found."""
    (one,) = found
    assert isinstance(one, Document), one
    return one


def quarantined(found: Sequence[Document | Quarantined], error: str | None = None) -> Quarantined:
    """The one quarantined input that was found, under this name when one is given."""
    (one,) = found
    assert isinstance(one, Quarantined), one
    assert error in (None, one.error)
    return one
