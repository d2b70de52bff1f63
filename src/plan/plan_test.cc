#include "plan/cost.h"

#include <gtest/gtest.h>
