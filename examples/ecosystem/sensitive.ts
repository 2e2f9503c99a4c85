/** Finds secrets and personal data in a text and decides which models may see it: pure. */

export type Kind = 'private_key' | 'api_key' | 'password' | 'keyword' | 'card_number' | 'email' | 'phone' | 'iban';
export interface Finding {
  kind: Kind;
  /** Where it stands, from 0. */
  at: number;
  /** Enough of it to find it again, and too little to use it. */
  hint: string;
}
export type Severity = 'none' | 'low' | 'high' | 'critical';

export interface Policy {
  sensitive: boolean;
  severity: Severity;
  /** Models that may see the content; the first one is suggested. */
  allowed_models: string[];
  reason: string;
}

const PATTERNS: ReadonlyArray<{ kind: Kind; severity: Severity; pattern: RegExp; holds?: (found: string) => boolean }> =
  [
    { kind: 'private_key', severity: 'critical', pattern: /-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----/g },
    {
      kind: 'api_key',
      severity: 'critical',
      pattern: /\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}|xox[abp]-[A-Za-z0-9-]{10,})/g,
    },
    {
      kind: 'password',
      severity: 'critical',
      pattern: /\b(?:password|passwd|secret|api[_-]?key|token)\b["']?\s*[:=]\s*["']?[^\s"',;]{6,}/gi,
    },
    {
      kind: 'iban',
      severity: 'high',
      pattern: /\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,4})?\b/g,
      holds: isIban,
    },
    { kind: 'card_number', severity: 'high', pattern: /\b\d(?:[ -]?\d){12,18}\b/g, holds: passesLuhn },
    { kind: 'email', severity: 'low', pattern: /[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}/g },
    { kind: 'phone', severity: 'low', pattern: /(?<![\w+])\+\d{1,3}(?:[ -]?\d{2,4}){2,5}\b/g },
  ];
const SEVERITIES: readonly Severity[] = ['none', 'low', 'high', 'critical'];

export const MODELS = { local: ['local-extractive'], trusted: ['trusted-cloud'], any: ['public-cloud'] } as const;

export function findSensitive(text: string, keywords: readonly string[] = []): Finding[] {
  const found = PATTERNS.flatMap(({ kind, pattern, holds }) =>
    [...text.matchAll(pattern)]
      .filter(([match]) => holds?.(match) ?? true)
      .map((match): Finding => ({ kind, at: match.index, hint: hintOf(match[0]) })),
  );
  const lower = text.toLowerCase();
  for (const keyword of keywords) {
    const at = keyword === '' ? -1 : lower.indexOf(keyword.toLowerCase());
    if (at >= 0) found.push({ kind: 'keyword', at, hint: hintOf(keyword) });
  }
  return found.sort((left, right) => left.at - right.at || (left.kind < right.kind ? -1 : 1));
}

/** Secrets stay with the local model, personal data may go to trusted ones, the rest anywhere. */
export function decidePolicy(findings: readonly Finding[]): Policy {
  const severities = findings.map(({ kind }) => severityOf(kind));
  const severity = SEVERITIES[Math.max(0, ...severities.map((found) => SEVERITIES.indexOf(found)))] ?? 'none';
  const kinds = [...new Set(findings.map(({ kind }) => kind))].join(', ');
  switch (severity) {
    case 'critical':
      return { sensitive: true, severity, allowed_models: [...MODELS.local], reason: `secrets: ${kinds}` };
    case 'high':
    case 'low':
      return {
        sensitive: true,
        severity,
        allowed_models: [...MODELS.local, ...MODELS.trusted],
        reason: `personal data: ${kinds}`,
      };
    case 'none':
      return {
        sensitive: false,
        severity,
        allowed_models: [...MODELS.any, ...MODELS.trusted, ...MODELS.local],
        reason: 'nothing sensitive was found',
      };
  }
}

/** The text with everything that was found blotted out. */
export function redact(text: string, keywords: readonly string[] = []): string {
  let clean = text;
  for (const { kind, pattern, holds } of PATTERNS)
    clean = clean.replaceAll(pattern, (match) => ((holds?.(match) ?? true) ? `[${kind}]` : match));
  for (const keyword of keywords) {
    if (keyword !== '') clean = clean.replaceAll(new RegExp(escapePattern(keyword), 'gi'), '[keyword]');
  }
  return clean;
}

/** A keyword is what the caller calls confidential. */
function severityOf(kind: Kind): Severity {
  return PATTERNS.find((known) => known.kind === kind)?.severity ?? 'critical';
}

function escapePattern(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function hintOf(found: string): string {
  return found.length <= 4 ? '****' : `${found.slice(0, 4)}****`;
}

function passesLuhn(found: string): boolean {
  const digits = found.replaceAll(/\D/g, '');
  const sum = [...digits].reverse().reduce((total, digit, place) => {
    const value = Number(digit) * (place % 2 === 1 ? 2 : 1);
    return total + (value > 9 ? value - 9 : value);
  }, 0);
  return digits.length >= 13 && sum % 10 === 0;
}

/** ISO 13616: letters as numbers, the first four characters at the end, modulo 97 is 1. */
function isIban(found: string): boolean {
  const plain = found.replaceAll(' ', '');
  const digits = `${plain.slice(4)}${plain.slice(0, 4)}`.replaceAll(/[A-Z]/g, (letter) =>
    String(letter.charCodeAt(0) - 55),
  );
  let rest = 0;
  for (const digit of digits) rest = (rest * 10 + Number(digit)) % 97;
  return rest === 1;
}
