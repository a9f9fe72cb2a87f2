"""The options of `aqa-train`, under the headings of its help."""

import click

from aqa_heads.settings.choices import (
    DIFFICULTIES,
    OFFICIAL_FOLDS,
    PROTOCOLS,
    SMALL_DATA,
    SMALL_DATA_FOLDS,
    VIEWS,
)
from aqa_heads.settings.experiments import (
    ATTENTIONS,
    DEFAULT,
    ENCODERS,
    EXPERIMENTS,
    LOSSES,
    READOUTS,
    REFERENCES,
    RNNS,
    SCORE_HEADS,
    TASKS,
)
from aqa_heads.settings.panel_rule import MEAN
from aqa_heads.settings.resolved import DEFAULTS, HEAD_LR
from aqa_heads.settings.training import TrainingConfig

from .end_to_end_options import END_TO_END_OPTIONS, EndToEndCommand
from .options import PathName, PlaceName, Several

_DEFAULT = TrainingConfig("")


def _positive(kind: type):
    return click.IntRange(1) if kind is int else click.FloatRange(0, min_open=True)


OPTIONS = {
    "Options": (
        click.option(
            "--features",
            required=True,
            multiple=True,
            type=PlaceName(),
            help=(
                "Feature cache, written by aqa-extract: a file or a URL; several times for several caches"
                " whose features were made in the same way."
            ),
        ),
        click.option(
            "--exp",
            "experiments",
            default=_DEFAULT.experiment,
            show_default=True,
            metavar="NAME[,NAME…]",
            help=(
                f"The model for data of your own ({DEFAULT.name}); rows of the paper's Table 1"
                f" ({', '.join(EXPERIMENTS)}), or all of them; references: {', '.join(REFERENCES)}."
            ),
        ),
        click.option(
            "--choose",
            is_flag=True,
            help="Of all configurations asked for, test the one alone that validation likes best.",
        ),
        click.option(
            "--seeds",
            "seed_count",
            type=click.IntRange(1),
            default=1,
            show_default=True,
            help="Runs per experiment, with seeds SEED, SEED+1, …",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0),
            default=_DEFAULT.seed,
            show_default=True,
            help="Of weights, dropout, order and held-out groups.",
        ),
        click.option(
            "--folds",
            metavar=f"K|{OFFICIAL_FOLDS}",
            help="Cross-validation: K folds of whole groups, or the annotations' column fold; each is a run.",
        ),
        click.option(
            "--tasks", default=",".join(TASKS), show_default=True, help="Which to train, with commas."
        ),
        click.option(
            "--difficulty",
            type=click.Choice(DIFFICULTIES),
            default=_DEFAULT.difficulty,
            show_default=True,
            help=(
                "ignore: predict the final score. multiply: predict the execution, multiply by the known"
                " difficulty."
            ),
        ),
        click.option(
            "--out",
            type=PathName(),
            default=_DEFAULT.out,
            show_default=True,
            help="Folder of run folders.",
        ),
        click.option(
            "--name", metavar="TEXT", help="Of the run, in place of its row's and what differs from it."
        ),
        click.option("--overwrite", is_flag=True, help="Replace runs of the same name."),
        click.option(
            "--resume", is_flag=True, help="Go on with interrupted runs of the same name; finished ones stay."
        ),
        click.option(
            "--checkpoint-seconds",
            type=click.FloatRange(0),
            default=_DEFAULT.checkpoint_seconds,
            show_default=True,
            help="Between checkpoints, at least.",
        ),
        click.option(
            "--device", default=_DEFAULT.device, show_default=True, help="auto, cpu, cuda, cuda:1, …"
        ),
        click.option(
            "--threads",
            type=_positive(int),
            help="Of the CPU, at most; 1 is fastest where other programs run.  [default: all cores]",
        ),
        click.option(
            "--log",
            "logs",
            multiple=True,
            metavar="tensorboard:DIR|mlflow:DIR|wandb",
            help="Also tell this program of settings, epochs and results. May be given several times.",
        ),
        click.option(
            "--allow-leak",
            is_flag=True,
            help="Train although test samples are training samples; marks every number.",
        ),
    ),
    "Model": (
        click.option(
            "--literal",
            is_flag=True,
            help=(
                "The row exactly as the original: its widths, projections, plain stacks, raw features,"
                " score/17, Adam"
                " 1e-4, steps of 3."
            ),
        ),
        click.option(
            "--encoder",
            type=Several(str),
            metavar="NAME|MODULE:ATTRIBUTE[,…]",
            help=(
                f"From clips to one feature: {', '.join(ENCODERS)}, or one of your own.  [default: the row's]"
            ),
        ),
        click.option(
            "--encoder-hidden",
            type=_positive(int),
            help=(
                "Width of the encoder.  [default: by the number of samples; in rows lstm 1024, attention"
                " 256, …]"
            ),
        ),
        click.option(
            "--encoder-layers",
            type=_positive(int),
            help="Depth of the encoder.  [default: 2; conv 3; attention, c3d-lstm 1]",
        ),
        click.option(
            "--score-head",
            type=Several(str),
            metavar="NAME|MODULE:ATTRIBUTE[,…]",
            help=(
                f"How the score is learned: {', '.join(SCORE_HEADS)}, or a head of your own.  [default:"
                " regression]"
            ),
        ),
        click.option(
            "--readout",
            type=click.Choice(READOUTS),
            help=(
                "Of distribution and judges: the expected score, or the most likely one.  [default:"
                " expectation]"
            ),
        ),
        click.option(
            "--panel-rule",
            metavar=f"{MEAN}|middle-N",
            help=(
                "Of judges: which marks make the score.  [default: the sum of the middle three of 3, 5 or 7]"
            ),
        ),
        click.option(
            "--pair-by",
            metavar="difficulty|CLASS|none",
            help=(
                "Of core: what compared samples share.  [default: none; with --difficulty multiply:"
                " difficulty]"
            ),
        ),
        click.option(
            "--score-range",
            type=Several(float),
            metavar="LOW,HIGH",
            help=(
                "Lowest and highest score there can be; clips intervals.  [default: columns score_min,"
                " score_max]"
            ),
        ),
        click.option(
            "--loss",
            metavar="NAME|MODULE:ATTRIBUTE",
            help=(
                f"Added to the score head's own: of the order, {' or '.join(LOSSES)}; or a function of"
                " predicted and"
                " true scores, both scaled."
            ),
        ),
        click.option("--loss-weight", type=_positive(float), help="Of --loss.  [default: 1]"),
        click.option(
            "--ridge-start/--no-ridge-start",
            default=None,
            help=(
                "A linear path to the score beside fc6, started from ridge regression.  [default: yes;"
                " literal: no]"
            ),
        ),
        click.option("--rnn", type=click.Choice(RNNS), help="Cell of the captioner.  [default: the row's]"),
        click.option(
            "--layers", type=_positive(int), help="Stacked cells of the captioner.  [default: the row's]"
        ),
        click.option(
            "--attention",
            type=click.Choice(ATTENTIONS),
            help=(
                "linear is the paper's projection; additive and dot weigh the clips at every word. "
                " [default: the"
                " row's]"
            ),
        ),
        click.option(
            "--residual/--no-residual",
            default=None,
            help="Connections around the captioner's cells.  [default: where there are more than two]",
        ),
        click.option(
            "--vocabulary",
            type=PathName(),
            help="MTL-AQA's vocab.json, as in the paper.  [default: the words of the training captions]",
        ),
    ),
    "Validation": (
        click.option(
            "--protocol",
            type=click.Choice(PROTOCOLS),
            default=_DEFAULT.protocol,
            show_default=True,
            help=(
                "honest: best epoch by held-out training groups, test once. paper: test every epoch, report"
                " the last."
            ),
        ),
        click.option(
            "--validate-on",
            metavar="auto|new-groups|known-groups[:NAME]",
            help=(
                "Whom validation asks about: whole groups, or single samples of groups that train; auto: as"
                " the test"
                " does. NAME: groups of column group_NAME.  [default: auto; Table 1: whole groups]"
            ),
        ),
        click.option(
            "--validation",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            default=_DEFAULT.validation,
            show_default=True,
            help="Share of the training samples held out.",
        ),
        click.option(
            "--validation-folds",
            type=click.IntRange(0),
            help=(
                "Choose the epoch by models that each leave out one of so many parts; 0: one part is held"
                " out."
                f"  [default: {SMALL_DATA_FOLDS} below {SMALL_DATA} samples; Table 1: 0]"
            ),
        ),
        click.option(
            "--refit/--no-refit",
            default=None,
            help=(
                "Train once more on training and validation samples, for the steps that were chosen. "
                " [default: yes;"
                " Table 1, end to end: no]"
            ),
        ),
        click.option(
            "--patience",
            type=_positive(int),
            default=_DEFAULT.patience,
            show_default=True,
            help="Epochs without improvement on the held-out samples before training ends.",
        ),
    ),
    "Training": (
        click.option(
            "--epochs",
            type=Several(_positive(int)),
            default=_DEFAULT.epochs,
            show_default=True,
            help="Epochs at most.",
        ),
        click.option(
            "--batch-size", type=Several(_positive(int)), help="Samples per step.  [default: 16; literal: 3]"
        ),
        click.option(
            "--lr",
            type=Several(_positive(float)),
            help=f"Learning rate.  [default: {DEFAULTS['lr']:g}; score heads but regression: {HEAD_LR:g}]",
        ),
        click.option(
            "--caption-lr",
            type=_positive(float),
            help=f"Learning rate of the captioner.  [default: {DEFAULTS['caption_lr']:g}; literal: 1e-4]",
        ),
        click.option(
            "--weight-decay",
            type=Several(click.FloatRange(0)),
            help=f"Of AdamW.  [default: {DEFAULTS['weight_decay']:g}; literal: 0]",
        ),
        click.option(
            "--dropout",
            type=Several(click.FloatRange(0, 1, max_open=True)),
            help=f"Before and after fc6.  [default: {DEFAULTS['dropout']:g}; literal: 0]",
        ),
        click.option(
            "--pretrain-epochs",
            type=click.IntRange(0),
            default=_DEFAULT.pretrain_epochs,
            show_default=True,
            help="Of an lstm or gru encoder as an autoencoder of the clip features, before training.",
        ),
        click.option(
            "--max-clips",
            type=_positive(int),
            metavar="N",
            help=(
                "Train the encoder on windows of N clips, drawn anew in every epoch; test on all. "
                " [default: rows of"
                " Table 1 no limit, else what 95 % of the samples have, at least 64]"
            ),
        ),
        click.option(
            "--views",
            type=click.Choice(VIEWS),
            default=_DEFAULT.views,
            show_default=True,
            help=(
                "Of each training sample, where the cache holds several: draw one anew in every epoch, or"
                " keep to the"
                " plain one."
            ),
        ),
        click.option(
            "--standardise/--no-standardise",
            default=None,
            help="Scale features by training statistics.  [default: yes; literal: no]",
        ),
        click.option(
            "--centre/--no-centre",
            default=None,
            help="Learn the score above the training mean.  [default: yes; literal: no]",
        ),
        click.option(
            "--score-scale",
            type=_positive(float),
            help="Points per unit of the score head.  [default: std of training; literal: 17]",
        ),
        click.option(
            "--beam",
            type=_positive(int),
            default=_DEFAULT.beam,
            show_default=True,
            help="Captions kept at every word; 1 is greedy.",
        ),
        click.option(
            "--meteor/--no-meteor",
            default=True,
            show_default=True,
            help="Of captions, where Java is installed; 10 s a run.",
        ),
    ),
}
OPTIONS["End to end"] = END_TO_END_OPTIONS


class TrainCommand(EndToEndCommand):
    """A command whose help has its options under the headings of `OPTIONS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        heading_of = {_name(option): heading for heading, options in OPTIONS.items() for option in options}
        groups: dict[str, list[tuple[str, str]]] = {heading: [] for heading in OPTIONS}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                groups[heading_of.get(parameter.name, "Options")].append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _name(option) -> str:
    """Of the parameter that an option makes."""

    def nothing():
        pass

    option(nothing)
    return nothing.__click_params__[0].name  # pyright: ignore[reportFunctionMemberAccess]


def train_options(command):
    for options in reversed(OPTIONS.values()):
        for option in reversed(options):
            command = option(command)
    return command
