// What `eyeshot plan` has found out, and how it is shown.
#ifndef EYESHOT_CLI_PLAN_REPORT_H_
#define EYESHOT_CLI_PLAN_REPORT_H_

#include <string>
#include <vector>

#include "cli/report.h"
#include "plan/calibrate.h"
#include "plan/law.h"
#include "plan/planner.h"

namespace eyeshot::cli {

struct PlanReport {
  std::vector<plan::ModelAtHand> models;
  plan::Workload workload;
  plan::Aim aim;
  plan::Knowledge knowledge;
  std::string machine;              // of the header: "AMD EPYC, avx512, 2 threads, measured on 2026-11-26"
  bool simulated = false;
  std::vector<std::string> doubts;  // why the figures may not hold
  std::vector<plan::Candidate> candidates;
  std::vector<size_t> front;
  size_t chosen = 0;
  std::vector<std::string> why;
};

void PrintPlan(const PlanReport& report, bool all);
OrderedJson PlanJson(const PlanReport& report);

// The stages of each candidate, one table each.
void PrintCosts(const PlanReport& report);
OrderedJson CostsJson(const PlanReport& report);

void PrintCalibration(const plan::Calibration& calibration, const std::string& path);
OrderedJson CalibrationJson(const plan::Calibration& calibration, const std::string& path);

struct RefitReport {
  plan::LawGrid grid;
  plan::FloorProfile reasoning;
  plan::FloorProfile reading;
};
void PrintRefit(const RefitReport& report);
OrderedJson RefitJson(const RefitReport& report);

// "SmolVLM-256M-Instruct, int8, low, stride:16"
std::string CandidateName(const PlanReport& report, const plan::Candidate& candidate);

}  // namespace eyeshot::cli

#endif  // EYESHOT_CLI_PLAN_REPORT_H_
