#include "vpcflowd/metrics.h"

struct metrics metrics;
