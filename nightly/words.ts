/** The words of the report, in each of its languages. */
import type { NightNote } from './decide-night.ts'
import type { NightRecord, StepName } from './night.ts'
import { localText } from './local-time.ts'

export const languages = ['en', 'ja'] as const
export type Language = (typeof languages)[number]

export interface Words {
  readonly language: Language
  /** Of the language itself. */
  readonly name: string
  readonly title: (site: string, day: string) => string
  readonly outcome: Readonly<Record<NightRecord['outcome'], string>>
  readonly headline: {
    readonly nothing: string
    readonly image: (name: string, deeds: readonly string[]) => string
    readonly failedAt: (step: string) => string
    readonly complaint: string
    readonly stopped: string
  }
  readonly done: Readonly<Record<'baked' | 'verified' | 'promoted' | 'rolledOut', string>>
  readonly step: Readonly<Record<StepName, string>>
  readonly section: Readonly<Record<'attention' | 'changes' | 'checks' | 'done' | 'durations' | 'images' | 'certificates', string>>
  readonly column: Readonly<
    Record<
      | 'what'
      | 'name'
      | 'before'
      | 'after'
      | 'check'
      | 'result'
      | 'detail'
      | 'step'
      | 'time'
      | 'image'
      | 'built'
      | 'channel'
      | 'verified'
      | 'size'
      | 'usedBy'
      | 'group'
      | 'ends'
      | 'left',
      string
    >
  >
  readonly kind: Readonly<Record<string, string>>
  readonly isNew: string
  readonly isGone: string
  readonly nothingNew: string
  readonly comparedWith: (from: string, to: string) => string
  readonly more: (count: number) => string
  readonly ok: string
  readonly notOk: string
  readonly went: { readonly well: string; readonly wrong: string }
  readonly verification: Readonly<Record<'passed' | 'failed' | 'none', string>>
  readonly revoked: string
  readonly deed: {
    readonly baked: (image: string) => string
    readonly promoted: (image: string) => string
    readonly rolledOut: (group: string, from: string, to: string, time: string) => string
    readonly refused: (image: string, reason: string) => string
    readonly removed: (what: string, name: string, size: string | undefined) => string
    readonly delivered: Readonly<
      Record<'commit' | 'branch' | 'pull-request', (branch: string, commit: string, pushed: boolean, asked: boolean) => string>
    >
    readonly none: string
  }
  readonly note: (note: NightNote, zone: string | undefined) => string
  readonly killedBefore: (began: string, step: string | undefined) => string
  readonly storage: (name: string, used: string, total: string, percent: number) => string
  readonly certificate: (group: string, name: string, day: string, daysLeft: number) => string
  readonly certificateUnknown: (group: string, name: string) => string
  readonly unknown: string
  readonly noCertificate: string
  readonly days: (count: number) => string
  readonly duration: (ms: number) => string
  readonly plot: {
    readonly title: string
    readonly tonight: string
    readonly mark: string
    readonly unit: Readonly<Record<'second' | 'minute' | 'hour', string>>
  }
  readonly footer: (by: string, began: string, ended: string) => string
}

const minutesAndSeconds = (ms: number): readonly [minutes: number, seconds: number] => {
  const seconds = Math.round(ms / 1000)
  return [Math.floor(seconds / 60), seconds % 60]
}

const shortly = (ms: number): string => (ms / 1000).toFixed(1)

const en: Words = {
  language: 'en',
  name: 'English',
  title: (site, day) => `Night of ${day}: ${site}`,
  outcome: { nothing: 'nothing new', new: 'new image', failed: 'FAILED', stopped: 'stopped' },
  headline: {
    nothing: 'Nothing new: the newest image has everything there is, and is verified.',
    image: (name, deeds) => `Image ${name}: ${deeds.join(', ')}.`,
    failedAt: (step) => `The night failed at this step: ${step}.`,
    complaint: 'Every step went well, and something needs attention.',
    stopped: 'The night was stopped; the next run goes on from there.',
  },
  done: { baked: 'baked', verified: 'verified', promoted: 'promoted', rolledOut: 'rolled out' },
  step: {
    lock: 'look up what goes in',
    bake: 'bake',
    verify: 'verify',
    promote: 'promote',
    wait: 'wait for the window',
    rollout: 'roll out',
    prune: 'remove',
    deliver: 'hand over to git',
  },
  section: {
    attention: 'Needs attention',
    changes: 'What changed',
    checks: 'Checks',
    done: 'What was done',
    durations: 'How long it took',
    images: 'Images and disk',
    certificates: 'Certificates',
  },
  column: {
    what: 'what',
    name: 'name',
    before: 'before',
    after: 'after',
    check: 'check',
    result: 'result',
    detail: 'detail',
    step: 'step',
    time: 'time',
    image: 'image',
    built: 'baked',
    channel: 'channel',
    verified: 'verification',
    size: 'size',
    usedBy: 'used by',
    group: 'group',
    ends: 'ends',
    left: 'left',
  },
  kind: {},
  isNew: 'new',
  isGone: 'gone',
  nothingNew: 'Nothing that goes in has changed.',
  comparedWith: (from, to) => `${to}, compared with ${from}:`,
  more: (count) => `… and ${count} more`,
  ok: 'passed',
  notOk: 'FAILED',
  went: { well: 'done', wrong: 'FAILED' },
  verification: { passed: 'passed', failed: 'FAILED', none: 'none' },
  revoked: 'REVOKED',
  deed: {
    baked: (image) => `baked ${image}`,
    promoted: (image) => `promoted ${image} to stable`,
    rolledOut: (group, from, to, time) => `rolled out to ${group}: ${from} → ${to}, in ${time}`,
    refused: (image, reason) => `marked ${image}, so that it is not tried again: ${reason}`,
    removed: (what, name, size) => `removed ${what} ${name}${size === undefined ? '' : ` (${size})`}`,
    delivered: {
      commit: (branch, commit, pushed) => `committed on ${branch} (${commit})${pushed ? ', and pushed' : ''}`,
      branch: (branch, commit, pushed) => `put on branch ${branch} (${commit})${pushed ? ', and pushed' : ''}`,
      'pull-request': (branch, commit, _pushed, asked) =>
        `pushed branch ${branch} (${commit}), ${asked ? 'and asked for it to be merged' : 'which waits to be merged'}`,
    },
    none: 'Nothing.',
  },
  note: (note, zone) => {
    switch (note.why) {
      case 'promote-later':
        return `${note.image} is promoted in ${note.nights === 1 ? 'a night' : `${note.nights} nights`}`
      case 'promote-by-hand':
        return `${note.image} waits for somebody to promote it: npx golden promote ${note.image}`
      case 'rollout-by-hand':
        return `${note.image} waits for somebody to roll it out: npx golden rollout ${note.groups.join(' ')}`
      case 'rollout-outside':
        return `${note.image} is not rolled out outside of the window, which opens ${localText(new Date(note.opens), zone)}: let the night begin in it, or at most six hours before`
      case 'rollout-refused':
        return `${note.image} is not rolled out again by itself: ${note.reason}`
    }
  },
  killedBefore: (began, step) =>
    `The run of ${began} was ended from outside${step === undefined ? '' : ` at this step: ${step}`}. This one went on from there.`,
  storage: (name, used, total, percent) => `Storage ${name}: ${used} of ${total} in use (${percent} %).`,
  certificate: (group, name, day, daysLeft) =>
    `${group}: ${name} ${daysLeft < 0 ? `has ended on ${day}` : `ends on ${day}, in ${daysLeft === 1 ? 'a day' : `${daysLeft} days`}`}`,
  certificateUnknown: (group, name) => `${group}: nobody can tell when it ends, because its slot does not answer: ${name}`,
  unknown: 'unknown',
  noCertificate: 'None ends within 30 days.',
  days: (count) => (count === 1 ? '1 day' : `${count} days`),
  duration: (ms) => {
    const [minutes, seconds] = minutesAndSeconds(ms)
    return ms < 10_000
      ? `${shortly(ms)} s`
      : minutes < 2
        ? `${minutes * 60 + seconds} s`
        : `${minutes} min ${String(seconds).padStart(2, '0')} s`
  },
  plot: {
    title: 'Time of each step, this night and up to ten before it',
    tonight: 'tonight',
    mark: '✗: it failed, was stopped or killed',
    unit: { second: 's', minute: 'min', hour: 'h' },
  },
  footer: (by, began, ended) => `${by}, ${began} to ${ended}`,
}

const ja: Words = {
  language: 'ja',
  name: '日本語',
  title: (site, day) => `${day} の夜間実行: ${site}`,
  outcome: { nothing: '変更なし', new: '新しいイメージ', failed: '失敗', stopped: '中止' },
  headline: {
    nothing: '変更はありません。最新のイメージにすべて入っており、検証済みです。',
    image: (name, deeds) => `イメージ ${name}: ${deeds.join('、')}。`,
    failedAt: (step) => `次の手順で失敗しました: ${step}。`,
    complaint: '手順はすべて終わりましたが、確認が必要なことがあります。',
    stopped: '途中で止められました。次の実行がそこから続けます。',
  },
  done: { baked: 'ベイク済み', verified: '検証済み', promoted: '昇格済み', rolledOut: '切り替え済み' },
  step: {
    lock: '入力の確認',
    bake: 'ベイク',
    verify: '検証',
    promote: '昇格',
    wait: '時間帯待ち',
    rollout: '切り替え',
    prune: '整理',
    deliver: 'git へ反映',
  },
  section: {
    attention: '確認が必要なこと',
    changes: '変わったもの',
    checks: '検査',
    done: '実行したこと',
    durations: 'かかった時間',
    images: 'イメージとディスク',
    certificates: '証明書',
  },
  column: {
    what: '種類',
    name: '名前',
    before: '前',
    after: '後',
    check: '検査',
    result: '結果',
    detail: '詳細',
    step: '手順',
    time: '時間',
    image: 'イメージ',
    built: 'ベイク日時',
    channel: 'チャンネル',
    verified: '検証',
    size: 'サイズ',
    usedBy: '使用中',
    group: 'グループ',
    ends: '期限',
    left: '残り',
  },
  kind: {
    base: 'ベース',
    container: 'コンテナ',
    package: 'パッケージ',
    archive: 'アーカイブ',
    'language server': '言語サーバー',
    tool: 'ツール',
    file: 'ファイル',
    image: 'イメージ',
    seed: 'シード',
    slot: 'スロット',
  },
  isNew: '新規',
  isGone: '削除',
  nothingNew: '入力に変更はありません。',
  comparedWith: (from, to) => `${to} を ${from} と比べた結果:`,
  more: (count) => `… ほか ${count} 件`,
  ok: '合格',
  notOk: '不合格',
  went: { well: '完了', wrong: '失敗' },
  verification: { passed: '合格', failed: '不合格', none: '未検証' },
  revoked: '失効',
  deed: {
    baked: (image) => `${image} をベイクしました`,
    promoted: (image) => `${image} を stable に昇格しました`,
    rolledOut: (group, from, to, time) => `${group} を切り替えました: ${from} → ${to}（${time}）`,
    refused: (image, reason) => `${image} は再び試さないよう印を付けました: ${reason}`,
    removed: (what, name, size) => `${what} ${name} を削除しました${size === undefined ? '' : `（${size}）`}`,
    delivered: {
      commit: (branch, commit, pushed) => `${branch} にコミットしました（${commit}）${pushed ? '。プッシュ済みです' : ''}`,
      branch: (branch, commit, pushed) => `ブランチ ${branch} に置きました（${commit}）${pushed ? '。プッシュ済みです' : ''}`,
      'pull-request': (branch, commit, _pushed, asked) =>
        asked
          ? `ブランチ ${branch} をプッシュし（${commit}）、マージを依頼しました`
          : `ブランチ ${branch} をプッシュしました（${commit}）。マージ待ちです`,
    },
    none: '何もしていません。',
  },
  note: (note, zone) => {
    switch (note.why) {
      case 'promote-later':
        return `${note.image} はあと ${note.nights} 晩で昇格します`
      case 'promote-by-hand':
        return `${note.image} は手動の昇格を待っています: npx golden promote ${note.image}`
      case 'rollout-by-hand':
        return `${note.image} は手動の切り替えを待っています: npx golden rollout ${note.groups.join(' ')}`
      case 'rollout-outside':
        return `${note.image} は時間帯の外なので切り替えません。次は ${localText(new Date(note.opens), zone)} からです。夜間実行は、その時間帯の中か、6 時間前以降に始めてください`
      case 'rollout-refused':
        return `${note.image} は自動では再び切り替えません: ${note.reason}`
    }
  },
  killedBefore: (began, step) =>
    `${began} の実行は外から終了させられました${step === undefined ? '' : `（手順: ${step}）`}。今回はそこから続けました。`,
  storage: (name, used, total, percent) => `ストレージ ${name}: ${total} のうち ${used} を使用（${percent} %）。`,
  certificate: (group, name, day, daysLeft) =>
    `${group}: ${name} の期限は ${day} です（${daysLeft < 0 ? '期限切れ' : `残り ${daysLeft} 日`}）`,
  certificateUnknown: (group, name) => `${group}: ${name} の期限は不明です（スロットが応答しません）`,
  unknown: '不明',
  noCertificate: '30 日以内に期限が切れるものはありません。',
  days: (count) => `${count} 日`,
  duration: (ms) => {
    const [minutes, seconds] = minutesAndSeconds(ms)
    return ms < 10_000
      ? `${shortly(ms)} 秒`
      : minutes < 2
        ? `${minutes * 60 + seconds} 秒`
        : `${minutes} 分 ${String(seconds).padStart(2, '0')} 秒`
  },
  plot: {
    title: '各手順の時間（今回と、その前の最大 10 回）',
    tonight: '今回',
    mark: '✗: 失敗・中止・強制終了',
    unit: { second: '秒', minute: '分', hour: '時間' },
  },
  footer: (by, began, ended) => `${by}、${began} から ${ended}`,
}

export const wordsOf: Readonly<Record<Language, Words>> = { en, ja }
