"""How the text classifier of the emotion service was made; `python -m training.emotion DATA` makes it again.

DATA is a folder with GoEmotions (Demszky et al. 2020, Apache-2.0): `train.tsv`, `dev.tsv` (text, comma-separated label
numbers, id) and `labels.txt` (27 emotions and neutral).  Two models read each text: logistic regression over
words, phrases and letters (`linear`), and small recurrent networks over words (`recurrent`).  Both are trained in four
folds; what they say of the fold that they have not seen decides how they are mixed, calibrated and where each label's
threshold lies (`calibrate`).  `dev.tsv` is read once, at the end, for the model card.
"""
