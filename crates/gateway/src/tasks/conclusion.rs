//! A verdict in the words of the seeds' clients, which are Chinese.

use vtox_protocol::{FaultType, Status, Verdict};

/// The verdict in a sentence.
pub fn conclusion(fault: FaultType, verdict: &Verdict) -> String {
    let title = fault.title();
    let percent = 100.0 * verdict.score;
    let reason = verdict.reason.as_deref().map(|why| format!("({why})")).unwrap_or_default();
    match verdict.status {
        Status::Normal => format!("未发现{title}迹象,故障评分 {percent:.1}%{reason}"),
        Status::Warning => format!("存在{title}迹象,故障评分 {percent:.1}%{reason}"),
        Status::Fault => format!("检测到{title},故障评分 {percent:.1}%{reason}"),
        Status::InsufficientData => format!("数据不足,无法判断{title}{reason}"),
        Status::NotApplicable => format!("该类型电机不适用{title}诊断{reason}"),
    }
}

/// What to do, the detector's own advice last.
pub fn suggestions(fault: FaultType, verdict: &Verdict) -> Vec<String> {
    let first = match verdict.status {
        Status::Normal => "电机状态正常,按计划进行常规维护",
        Status::Warning => "加强监测,缩短检测周期,安排检查",
        Status::Fault => "尽快停机检修,避免故障扩大",
        Status::InsufficientData => "补充缺失的通道或延长采样时间后重新上传",
        Status::NotApplicable => "请确认电机类型参数",
    };
    let part = match fault {
        FaultType::TurnFault => "检查定子绕组匝间绝缘,测量三相直流电阻是否平衡",
        FaultType::Insulation => "测量绕组对地绝缘电阻与泄漏电流,检查受潮和老化",
        FaultType::Bearing => "检查轴承润滑与磨损,必要时更换轴承",
        FaultType::Eccentricity => "检查气隙均匀性、转轴弯曲与轴承座对中",
        FaultType::BrokenBar => "检查转子导条与端环,必要时更换转子",
    };
    let found = matches!(verdict.status, Status::Warning | Status::Fault);
    let lines = [Some(first), found.then_some(part), verdict.advice.as_deref()];
    lines.into_iter().flatten().map(str::to_owned).collect()
}
