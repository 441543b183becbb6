"""Classifiers on features: fitted by scikit-learn or SciPy, stored without pickle, applied by NumPy."""

from hfft import lazy

__getattr__, __all__ = lazy.names(
    __name__,
    {
        "ClassifierSpec": "hfft.classifier.spec",
        "Fitted": "hfft.classifier.fitted",
        "fit": "hfft.classifier.fitting",
        "load": "hfft.classifier.store",
        "save": "hfft.classifier.store",
    },
)
