"""Trains the text classifier of the emotion service: `python -m training.emotion DATA`.

DATA is a folder with GoEmotions (Demszky et al. 2020, Apache-2.0): `train.tsv`, `dev.tsv` (text, comma-separated label
numbers, id) and `labels.txt` (27 emotions and neutral).  The classifier combines logistic regression over words,
phrases and letters (`linear`) and small recurrent networks over words (`recurrent`).  Both are trained in four folds.
Their scores on the held-out folds determine the weights of the two models, the calibration and the thresholds
(`calibrate`).  `dev.tsv` is read once, at the end, for the model card.
"""
