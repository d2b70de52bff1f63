// A scheduler with meters of the caller's.
#ifndef EYESHOT_RUNTIME_METERED_SCHEDULER_H_
#define EYESHOT_RUNTIME_METERED_SCHEDULER_H_

#include <memory>
#include <span>

#include "energy/meters/meter.h"
#include "eyeshot/scheduler.h"
#include "eyeshot/status.h"

namespace eyeshot {

// As Scheduler::Create(), but joules of answers are what `meters` count, which are of one source and no part of one
// another, and must live as long; none: nothing is read. options.energy_sysfs is not looked at.
Result<std::unique_ptr<Scheduler>> CreateMeteredScheduler(std::shared_ptr<Engine> engine,
                                                          const SchedulerOptions& options,
                                                          std::span<const std::unique_ptr<Meter>> meters);

}  // namespace eyeshot

#endif  // EYESHOT_RUNTIME_METERED_SCHEDULER_H_
