#!/usr/bin/env bash
# Prints the trainings of a campaign, one a line, the most important first: NAME CONFIG [ARGUMENT…], quoted
# as xargs reads it. Variables: see README.md.
set -euo pipefail
: "${EPOCHS:=60}" "${BATCH:=128}" "${PEAK:=0.1}" "${SEEDS:=0 1 2}"
: "${RESNET_BATCH:=512}" "${RESNET_PEAK:=0.2}"
configs=configs/cifar100
smooth='{label_smoothing=0.1}'
taught="-s objective.self_distillation.label_smoothing=0.1 -s objective.self_distillation.alpha=0.1"
taught+=" -s objective.self_distillation.teacher=all_pairs"
dense='"reparameterised_dense"' separable='"reparameterised_separable"'
vgg_mixed="-s 'model.backbone.vgg.conv=[$dense,$dense,$dense,$separable,$separable]'"
resnet_mixed="-s 'model.backbone.resnet.conv=[$dense,$dense,$separable,$separable]'"

recipe() { # BATCH PEAK
    echo "-s train.epochs=$EPOCHS -s train.batch_size=$1 -s 'train.schedule={one_cycle={peak=$2,warmup=0.15}}'"
}

run() { # SEED NAME CONFIG ARGUMENT…: in the recipe of $now
    echo "$2-seed$1 $configs/$3.toml --seed $1 -s name=cifar100-$EPOCHS-$2 $now ${*:4}"
}

vgg11() { # SEED
    run "$1" vgg11-mixed vgg11-mixed-eca-light "$taught" "$vgg_mixed"
    run "$1" vgg11-dense vgg11-dense-plain "-s objective={deepest_only=$smooth}" \
        "-s 'model.backbone.vgg.conv=$dense'"
    run "$1" vgg11-cut4 vgg11-mixed-eca-light "$vgg_mixed" \
        "-s objective={deep_supervision={label_smoothing=0.1,exit_weights=[0,0,0,1,0]}}"
    run "$1" mobilenetv2-x0.75 mobilenetv2-plain -s objective.deepest_only.label_smoothing=0.1 \
        -s model.backbone.mobilenet_v2.width=0.75
    run "$1" vgg11-mixed-byot vgg11-mixed-eca-light "$taught" "$vgg_mixed" -s model.exits.kind=byot
}

now=$(recipe "$RESNET_BATCH" "$RESNET_PEAK")
run 0 resnet18-mixed resnet18-mixed-os4-chain "$taught" "$resnet_mixed"
run 0 resnet18-dense resnet18-dense-plain "-s objective={deepest_only=$smooth}" \
    "-s 'model.backbone.resnet.conv=$dense'"
run 0 resnet18-mixed-plain resnet18-mixed-os4-plain "-s objective={deepest_only=$smooth}" "$resnet_mixed"
now=$(recipe "$BATCH" "$PEAK")
for seed in $SEEDS; do
    vgg11 "$seed"
done
